// Data parallelism: gradients summed over replicas, at the end of the step or bucket by bucket
// while backward runs; with ZeRO scattered, and the updated parameters gathered: after the
// optimizer, beside the next forward, or (ZeRO-3, FSDP) layer by layer whenever they are used.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "strategies/compress/wire.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// Who holds the same parameters, sums their gradients and shares their states: of experts on a
/// grid of their own these are others than of the rest.
struct Holders {
  std::int64_t replicas = 1;
  std::int64_t shards = 1;  ///< of the replicas, those that share model states under ZeRO
  std::uint32_t data_group = kDataGroup;
  std::uint32_t shard_group = kShardGroup;
  std::uint32_t replica_group = kReplicaGroup;
  std::uint32_t parameter_group = kParameterGroup;
  std::string_view gradient_stream = "data";
  std::string_view parameter_stream = "data parameters";
};
[[nodiscard]] Holders dense_holders(const Run& run);
/// REQUIRES: has_expert_grid(run).
[[nodiscard]] Holders expert_holders(const Run& run);

class DataParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  DataParallel(const Run& run, BodyWriter& writer, const Holders& holders);

  /// A unit of this many parameters (a layer, or embedding and head) is about to run forward
  /// (`is_forward`) or backward. ZeRO-3 gathers it, one unit ahead of compute.
  void enter(std::int64_t parameters, bool is_forward, std::int32_t micro_batch);
  /// The unit has run; under ZeRO-3 what was gathered goes, with a pipeline at the end of the step.
  void leave();
  /// The last unit of the step has run.
  void drop_gathered();

  /// The gradients of this many parameters are there; `is_final` for the last micro-batch.
  void gradients_ready(std::int64_t parameters, bool is_final);
  /// All gradients are final; the compute stream waits until they are summed.
  void finish_gradients();
  /// After the optimizer: ZeRO-1 and ZeRO-2 ranks fetch what the others updated.
  void gather_parameters(std::int64_t parameters);

 private:
  [[nodiscard]] bool is_fully_sharded() const { return run_.parallel.zero == 3; }
  [[nodiscard]] bool is_gathering(bool is_forward, std::int32_t micro_batch) const;
  void gather(std::int64_t parameters);
  void reduce(StreamIndex stream, double parameters);
  void all_gather(StreamIndex stream, Bytes payload);

  const Run& run_;
  BodyWriter& writer_;
  Holders holders_;
  CompressedWire gradient_wire_;
  CompressedWire parameter_wire_;
  StreamIndex gradients_ = kCompute;   // stream of overlapped gradient collectives
  StreamIndex parameters_ = kCompute;  // stream of overlapped gathers
  std::int64_t pending_ = 0;           // parameters whose gradients wait for a full bucket
  double exposed_ = 0;                 // parameters whose gradients wait for the end
  Bytes gathered_;                     // and not yet dropped
  std::optional<EventId> started_;     // the last unit's compute
};

}  // namespace foretrain
