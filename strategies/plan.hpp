// How a model is trained: batch, precision, optimizer, recomputation, and the parallel layout.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.hpp"
#include "platforms/cluster.hpp"
#include "sim/config/reader.hpp"
#include "strategies/collective/collective.hpp"
#include "strategies/compress/compression.hpp"
#include "strategies/generation.hpp"
#include "strategies/parallel/expert_keys.hpp"
#include "strategies/parallel/sharding.hpp"
#include "strategies/parallel/states.hpp"
#include "strategies/pipeline/placement.hpp"
#include "strategies/pipeline/schedule.hpp"
#include "strategies/stack.hpp"
#include "strategies/tuning.hpp"
#include "strategies/variation.hpp"

namespace foretrain {

/// What backward computes again: nothing; the attention core (Korthikanti et al. 2022); every other
/// GEMM of a layer and all that is element-wise (torchtitan's per-op policy); the whole layer; what
/// made the tensors above a size.
enum class Recompute : std::uint8_t { none, selective, operators, full, above };

struct Training {
  std::int64_t sequence_length = 0;  ///< tokens
  std::int64_t global_batch = 0;     ///< sequences per step
  std::int64_t micro_batch = 1;      ///< sequences
  Dtype precision = Dtype::bf16;     ///< of parameters, activations and GEMM inputs
  std::string optimizer = "adam";    ///< a name from the table of optimizers
  StateWidths widths;
  Recompute recompute = Recompute::none;
  std::int64_t recompute_every = 1;  ///< only in every n-th layer
  std::int64_t recompute_first = 0;  ///< only in the first n layers of each chunk; 0: in all
  Bytes recompute_above;             ///< with Recompute::above
  double offload_activations = 0;    ///< share of what layers keep that waits in the host's memory
  Tuning tuning;
  std::optional<double> tokens;  ///< of the whole training
  ExpertCapacity expert_capacity;
};

struct Parallel {
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t context = 1;  ///< ranks that share the tokens of a sequence
  std::optional<std::int64_t>
      data;  ///< what is left of the GPUs; a run file may state it as a check
  std::int64_t virtual_stages = 1;  ///< chunks of layers per pipeline stage
  std::int64_t zero = 0;  ///< what is sharded over data parallelism: 0 nothing, 1 the optimizer, 2
                          ///< and gradients, 3 and parameters (FSDP)
  std::optional<std::int64_t> shard;  ///< ranks that share the states under ZeRO; all by default
  bool sequence_parallel = false;
  std::string schedule = "1f1b";
  std::optional<std::int64_t>
      micro_batch_group;                   ///< contiguous micro-batches of a chunk, interleaved
  std::optional<bool> blocking_sends;      ///< instead of the stack's
  std::vector<std::int64_t> stage_layers;  ///< of each chunk, through the model; empty: all alike
  bool embedding_as_layer = false;         ///< the first and the last chunk hold one layer less
  ExpertKeys experts;
  GridKeys grid;
};

/// What a published TFLOP/s counts.
enum class FlopsCount : std::uint8_t { model, hardware, own };

/// What a peak memory counts: tensors in PyTorch's allocator, or the device as nvidia-smi shows it.
enum class MemoryKind : std::uint8_t { allocator, device };

/// What a published run measured, for comparison only: no prediction reads it.
struct Measured {
  std::optional<Seconds> step_time;
  std::optional<double> tokens_per_second_per_gpu;
  std::optional<FlopsPerSecond> flops_per_gpu;
  FlopsCount flops_count = FlopsCount::model;
  Flops flops_per_token;              ///< where the source counts in a way of its own
  std::optional<Seconds> layer_time;  ///< forward, backward and recomputation of one layer
  std::optional<Bytes> peak_memory;
  MemoryKind memory_kind = MemoryKind::device;
  std::optional<bool> fits;  ///< false: the run went out of memory
  std::string source;
  std::string group;    ///< cases of one source and software, for statistics
  std::string sweep;    ///< layouts that were compared with one another
  std::string quality;  ///< A: every key field known; B: one inferred
  std::string notes;    ///< what was inferred
};

/// A run file as written, before the files it names are looked up.
struct RunFile {
  std::string model;
  std::optional<Model> inline_model;  ///< [model] as a table
  std::string platform;
  std::string stack = "generic";
  std::optional<std::int64_t> nodes;
  std::optional<std::int64_t> gpus;
  Training training;
  Parallel parallel;
  Sharding sharding;
  Offload offload;
  Variation variation;
  std::vector<ForcedCollective> collectives;  ///< what the run asks for, at most one for each kind
  Compression compression;
  std::optional<Generation> generation;
  std::optional<Measured> measured;
  std::optional<config::Value> reliability;  ///< as written: no step depends on it
  // [override]: keys of the files named above, replaced for this run.
  std::optional<config::Value> stack_overrides;
  std::optional<config::Value> platform_overrides;
  std::optional<config::Value> gpu_overrides;

  // Where the keys stand that checks across fields point at.
  config::Position model_position;
  config::Position platform_position;
  config::Position stack_position;
  config::Position nodes_position;
  config::Position gpus_position;
  config::Position batch_position;
  config::Position sequence_position;
  config::Position precision_position;
  config::Position offload_activations_position;
  config::Position tensor_position;
  config::Position pipeline_position;
  config::Position context_position;
  config::Position data_position;
  config::Position zero_position;
  config::Position shard_position;
  config::Position virtual_stages_position;
  config::Position schedule_position;
  config::Position micro_batch_group_position;
  config::Position stage_layers_position;
  config::Position embedding_as_layer_position;
  config::Position sequence_parallel_position;
  VariationPlaces variation_places;
};

/// Everything a prediction needs, checked.
struct Run {
  Model model;
  Cluster cluster;
  Stack stack;
  std::int64_t nodes = 1;
  std::int64_t gpus = 0;  ///< fewer than the nodes have, when positive
  Training training;
  Parallel parallel;
  Sharding sharding;
  Offload offload;
  Variation variation;
  std::vector<ForcedCollective> collectives;  ///< what the run asks for, at most one for each kind
  Compression compression;
  std::optional<Generation> generation;
  std::optional<Measured> measured;

  [[nodiscard]] std::int64_t num_gpus() const {
    return gpus > 0 ? gpus : nodes * cluster.gpus_per_node;
  }
  [[nodiscard]] std::int64_t data_parallel() const { return replicas() / parallel.context; }
  /// Ranks that hold the same parameters: data parallelism times context parallelism.
  [[nodiscard]] std::int64_t replicas() const {
    return num_gpus() / (parallel.tensor * parallel.pipeline);
  }
  /// The replicas, and their copies where a pipeline holds the model twice.
  [[nodiscard]] std::int64_t holders() const { return replicas() * copies(placement()); }
  [[nodiscard]] ChunkPlacement placement() const {
    return pipeline_schedule(parallel.schedule).placement;
  }
  /// Of the replicas, how many sum their gradients in every step: all, unless they average.
  [[nodiscard]] std::int64_t summed_replicas() const {
    return sharding.averages() ? sharding.island.value_or(parallel.context) : replicas();
  }
  /// Ranks over which ZeRO shards model states.
  [[nodiscard]] std::int64_t shards() const {
    return parallel.zero == 0 ? 1 : parallel.shard.value_or(summed_replicas());
  }
  [[nodiscard]] std::int64_t num_micro_batches() const {
    return training.global_batch / (training.micro_batch * data_parallel());
  }
  [[nodiscard]] double tokens_per_step() const {
    return static_cast<double>(training.global_batch) *
           static_cast<double>(training.sequence_length);
  }
  [[nodiscard]] PipelineShape pipeline_shape() const {
    return {static_cast<std::int32_t>(parallel.pipeline),
            static_cast<std::int32_t>(parallel.virtual_stages),
            static_cast<std::int32_t>(num_micro_batches()),
            static_cast<std::int32_t>(parallel.micro_batch_group.value_or(0))};
  }
};

/// The word for a precision in a run file.
[[nodiscard]] std::string_view name_of(Dtype precision);

/// The platform of a run at its size, with the links that the run says are degraded.
[[nodiscard]] std::unique_ptr<Machine> build_machine(const Run& run);

/// Where the catalogues of models, platforms and stacks are.
struct Catalogue {
  std::string models;
  std::string platforms;
  std::string stacks;
};

/// Reads the keys of a run file. Mistakes go to the reader's diagnostics.
[[nodiscard]] RunFile read_run(config::Reader& reader);

/// Loads what a run file names (paths are relative to `directory`) and checks across fields:
/// degrees against GPUs, layers against stages, heads against tensor parallelism, batch against
/// replicas. Throws ConfigError with every mistake, each naming the keys of both sides.
[[nodiscard]] Run resolve(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
                          const std::string& directory);

}  // namespace foretrain
