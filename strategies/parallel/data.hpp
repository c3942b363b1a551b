// Data parallelism: gradients summed over replicas, at the end of the step or bucket by bucket
// while backward runs; with ZeRO scattered, and the updated parameters gathered: after the
// optimizer, beside the next forward, or (ZeRO-3, FSDP) layer by layer whenever they are used.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "strategies/compress/wire.hpp"
#include "strategies/parallel/offload.hpp"
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
/// Replicas that average their parameters hold them each for themselves.
[[nodiscard]] Holders dense_holders(const Run& run);
/// REQUIRES: has_expert_grid(run).
[[nodiscard]] Holders expert_holders(const Run& run);

class DataParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  DataParallel(const Run& run, BodyWriter& writer, const Holders& holders);

  /// The first thing of a step.
  void begin_step(const StageShape& shape) { offload_.begin_step(shape); }
  /// A unit (a layer, or embedding and head) is about to run forward (`is_forward`) or backward.
  /// ZeRO-3 gathers it, ahead of compute.
  void enter(const GatherUnit& unit, bool is_forward, std::int32_t micro_batch);
  /// A unit has been recomputed, and its backward is about to run: some stacks have dropped its
  /// parameters in between.
  void enter_again(const GatherUnit& unit, std::int32_t micro_batch);
  /// The unit has run; what ZeRO-3 gathered for it goes, unless backward uses it or, in a pipeline,
  /// the rest of the step.
  void leave(bool is_forward);
  /// The last unit of a micro-batch's backward has run.
  void leave_micro_batch();
  /// The last unit of the step has run.
  void drop_gathered();

  /// The gradients of a unit are there: of this many parameters in this many tensors; `is_final`
  /// for the last micro-batch.
  void gradients_ready(std::int64_t parameters, std::int64_t tensors, bool is_final);
  /// All gradients are final; the compute stream waits until they are summed.
  void finish_gradients();
  /// The norm is there: what the host has to update, it updates.
  void update_on_host(const StageShape& shape) { offload_.update(shape); }
  /// After the optimizer: ZeRO-1 and ZeRO-2 ranks fetch what the others updated, ZeRO-3 ranks what
  /// stays gathered (`persistent` of the parameters).
  void gather_parameters(std::int64_t parameters, std::int64_t persistent);
  /// Every so many steps replicas that sum no gradients average their parameters.
  void average(std::int64_t parameters);

 private:
  /// Gathers that compute has started to use.
  struct Started {
    std::int64_t parameters = 0;
    EventId event;  ///< compute of the unit starts
  };

  [[nodiscard]] bool is_fully_sharded() const { return run_.parallel.zero == 3; }
  [[nodiscard]] bool is_gathering(bool is_forward, std::int32_t micro_batch) const;
  [[nodiscard]] std::size_t units_ahead(const GatherUnit& unit, bool is_forward) const;
  [[nodiscard]] double exposed_share(const GatherUnit& unit) const;
  void gather(const GatherUnit& unit, bool is_forward);
  void gather_pieces(const GatherUnit& unit, double share);
  void work_on_pieces(StreamIndex stream, std::int64_t pieces);
  [[nodiscard]] bool is_bucket_full() const;
  void send_bucket(StreamIndex stream);
  void send(StreamIndex stream, double parameters);
  void reduce(StreamIndex stream, double parameters);
  void all_gather(StreamIndex stream, Bytes payload);
  void broadcast_shares(Bytes payload);

  const Run& run_;
  BodyWriter& writer_;
  Holders holders_;
  CompressedWire gradient_wire_;
  CompressedWire parameter_wire_;
  StreamIndex gradients_ = kCompute;   // stream of overlapped gradient collectives
  StreamIndex parameters_ = kCompute;  // stream of overlapped gathers
  StreamIndex launches_ = kCompute;    // of a host that handles each rank's piece
  HostOffload offload_;
  std::uint32_t gather_group_;
  std::int64_t pending_ = 0;          // parameters whose gradients wait for a full bucket,
  std::int64_t pending_tensors_ = 0;  // and how many tensors they are
  bool is_first_bucket_ = true;       // of a backward pass
  bool is_final_ = true;              // gradients are those of the last micro-batch
  double exposed_ = 0;                // parameters whose gradients wait for the end
  std::vector<Bytes> gathered_;       // by unit, and not yet dropped
  std::vector<Started> started_;      // the last units' compute
};

}  // namespace foretrain
