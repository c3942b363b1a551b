// [sharding] and [offload] of a run file: how data parallelism, ZeRO and FSDP send what they share,
// and what waits in the memory of the host. What a run leaves out is the stack's, or the default.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

struct Run;
struct RunFile;
struct StageShape;

struct Sharding {
  // Gradients.
  std::optional<bool> overlap_gradients;
  std::optional<Bytes> gradient_bucket;          ///< reduced at once; cut at the ends of layers
  std::optional<Bytes> first_bucket;             ///< of every backward pass (PyTorch DDP: 1 MiB)
  std::optional<bool> reduce_every_micro_batch;  ///< by default where ZeRO keeps shards of them
  bool sum_replicas_every_micro_batch = true;    ///< of hybrid sharding; false: as MiCS does
  // Updated parameters of ZeRO-1 and -2.
  std::optional<bool> overlap_parameters;
  std::optional<Bytes> gather_bucket;  ///< gathered at once
  // Parameters of ZeRO-3.
  std::optional<bool> reshard_after_forward;    ///< default: yes, but not in a pipeline
  std::optional<std::int64_t> secondary_shard;  ///< ranks from which backward gathers
  std::int64_t units_in_flight = 2;             ///< gathered at a time, the one in use included
  bool forward_prefetch = true;
  bool backward_prefetch = true;
  std::optional<Bytes> prefetch_bucket;  ///< gathered ahead of compute, instead of whole units
  std::optional<Bytes> max_live;         ///< gathered at a time
  Bytes persistence_threshold;           ///< tensors of at most this stay gathered
  std::optional<bool> gather_by_tensor;  ///< one gather for each tensor instead of each layer
  // Periodic averaging: local SGD, DiLoCo.
  std::int64_t average_every = 1;      ///< steps; 1: gradients are summed over all replicas
  std::optional<std::int64_t> island;  ///< replicas that still sum them in every step

  /// Where the keys stand that were given.
  std::map<std::string, config::Position, std::less<>> places;
  [[nodiscard]] bool averages() const { return average_every > 1; }
};

struct Offload {
  bool optimizer = false;       ///< its states and its work are the host's (ZeRO-Offload)
  bool parameters = false;      ///< of ZeRO-3: shards wait in the host's memory, too
  bool delayed_update = false;  ///< the host updates while the next step runs
  std::map<std::string, config::Position, std::less<>> places;
};

[[nodiscard]] Sharding read_sharding(config::Reader reader);
[[nodiscard]] Offload read_offload(config::Reader reader);
/// Keys that have no effect or contradict others, and offloading to a host that nobody describes.
void check_sharding(const Run& run, config::Diagnostics& diagnostics);

// What the run's keys, its stack's and the defaults come to.
[[nodiscard]] bool overlaps_gradients(const Run& run);
[[nodiscard]] bool overlaps_parameters(const Run& run);
[[nodiscard]] Bytes gradient_bucket(const Run& run);
[[nodiscard]] bool reduces_every_micro_batch(const Run& run);
/// ZeRO-3 drops a unit's parameters when its forward is over, and gathers them again.
[[nodiscard]] bool reshards_after_forward(const Run& run);

/// What ZeRO-3 gathers for a layer, an embedding or a head.
struct GatherUnit {
  std::vector<std::int64_t> pieces;  ///< parameters of each gather; none where all stay
  std::int64_t persistent = 0;       ///< parameters that stay gathered
  std::int64_t tensors = 0;          ///< all of the unit's, whatever becomes of them

  [[nodiscard]] std::int64_t gathered() const;
};
/// Of a block, of which this many parameters are gathered for everybody who holds the same.
[[nodiscard]] GatherUnit gather_unit(const Run& run, const Work& work, std::int64_t parameters);
/// So many parameters in one piece.
[[nodiscard]] GatherUnit whole_unit(std::int64_t parameters);
/// Parameters of a stage, besides experts on a grid of their own, that stay gathered on every rank.
[[nodiscard]] std::int64_t persistent_parameters(const Run& run, const StageShape& shape);

}  // namespace foretrain
