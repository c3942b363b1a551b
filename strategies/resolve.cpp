// Loads what a run file names and checks the run across fields. Every message names the keys of
// both sides and, where it can, a value that would do.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/resolve.hpp"

#include <utility>

#include "sim/config/catalogue.hpp"
#include "strategies/architecture.hpp"
#include "strategies/compress/check.hpp"
#include "strategies/load_platform.hpp"
#include "strategies/parallel/activation_offload.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/pipeline/keys.hpp"
#include "strategies/plan.hpp"
#include "strategies/stage_layers.hpp"

namespace foretrain {
namespace {

using config::Diagnostics;
using config::Position;

std::string text(std::int64_t number) { return std::to_string(number); }

// Runs a loader; its mistakes join the others, those without a place at the key that named the
// file.
template <class Load>
auto try_load(Load load, const Position& position, const std::string& key, Diagnostics& diagnostics)
    -> decltype(load()) {
  try {
    return load();
  } catch (const ConfigError& error) {
    for (const Diagnostic& diagnostic : error.diagnostics()) {
      if (diagnostic.file.empty()) {
        diagnostics.add(position, key, diagnostic.message);
      } else {
        diagnostics.add(diagnostic);
      }
    }
    return {};
  }
}

const config::Value* pointer(const std::optional<config::Value>& value) {
  return value ? &*value : nullptr;
}

/// The checks of one run, in the order in which a reader would ask.
class Check {
 public:
  Check(const RunFile& file, const Run& run, Diagnostics& diagnostics)
      : file_(file), run_(run), diagnostics_(diagnostics) {}

  void all() {
    const bool has_grid = kinds() && nodes() && gpus() && grid();
    if (has_grid) {
      size();
      batch();
      sharding();
      check_experts(run_, diagnostics_);
      check_sharding(run_, diagnostics_);
      check_expert_imbalance(file_, run_, diagnostics_);
    }
    layers();
    tensor();
    sequence();
    check_context_kind(run_, diagnostics_);
    gpu_kinds();
    check_state_widths(run_, diagnostics_);
    check_tuning(run_, diagnostics_);
    check_activation_offload(file_, run_, diagnostics_);
    check_generation(run_, diagnostics_);
    if (diagnostics_.empty()) {
      check_schedule(file_, run_, diagnostics_);
      check_compression(run_, diagnostics_);
    }
  }

 private:
  // The size of the platform as the run file gives it.
  [[nodiscard]] std::string size_key() const { return run_.gpus > 0 ? "gpus" : "nodes"; }
  [[nodiscard]] const Position& size_position() const {
    return run_.gpus > 0 ? file_.gpus_position : file_.nodes_position;
  }

  // Kinds of nodes in the proportion of the platform's file.
  bool kinds() {
    const std::int64_t unit = run_.cluster.node_unit();
    if (run_.nodes % unit != 0) {
      diagnostics_.add(size_position(), size_key(),
                       "platform '" + run_.cluster.name + "' mixes its kinds of nodes " +
                           text(unit) + " at a time: the number of nodes, " + text(run_.nodes) +
                           ", must be a multiple of that");
    }
    return run_.nodes % unit == 0;
  }

  bool nodes() {
    const std::int64_t most = run_.cluster.max_nodes;
    if (most > 0 && run_.nodes > most) {
      const std::int64_t per_node = run_.gpus > 0 ? run_.cluster.gpus_per_node : 1;
      diagnostics_.add(size_position(), size_key(),
                       size_key() + " " + text(run_.gpus > 0 ? run_.gpus : run_.nodes) +
                           " is more than the " + text(most * per_node) + " that platform '" +
                           run_.cluster.name + "' has");
      return false;
    }
    return true;
  }

  // Part of one node, or whole nodes.
  bool gpus() {
    const std::int64_t per_node = run_.cluster.gpus_per_node;
    if (run_.gpus > per_node && run_.gpus % per_node != 0) {
      diagnostics_.add(file_.gpus_position, "gpus",
                       "gpus " + text(run_.gpus) + " is neither part of a node of platform '" +
                           run_.cluster.name + "' nor a multiple of its " + text(per_node) +
                           " GPUs");
      return false;
    }
    return true;
  }

  bool grid() {
    const std::int64_t gpus = run_.num_gpus();
    const std::int64_t grid = run_.parallel.tensor * run_.parallel.pipeline * run_.parallel.context;
    const std::string product =
        "tensor " + text(run_.parallel.tensor) + " x pipeline " + text(run_.parallel.pipeline) +
        (run_.parallel.context > 1 ? " x context " + text(run_.parallel.context) : "") + " = " +
        text(grid);
    if (gpus % grid != 0) {
      const std::int64_t per_node = run_.cluster.gpus_per_node;
      std::int64_t nodes = (std::max(gpus, grid) + grid - 1) / grid * grid;
      while (nodes % per_node != 0) {
        nodes += grid;
      }
      diagnostics_.add(
          file_.tensor_position, "parallel.tensor",
          product + ", but the " + (run_.gpus > 0 ? "run" : "platform") + " has " + text(gpus) +
              " GPUs: " +
              (run_.gpus > 0 ? "gpus = " + text(nodes)
                             : "nodes = " + text(nodes / per_node) + " gives " + text(nodes)));
      return false;
    }
    if (file_.parallel.data && *file_.parallel.data != gpus / grid) {
      diagnostics_.add(file_.data_position, "parallel.data",
                       "data " + text(*file_.parallel.data) + " was asked for, but " + product +
                           " of " + text(gpus) + " GPUs leaves " + text(gpus / grid));
    }
    return true;
  }

  void size() {
    if (run_.num_gpus() > kMostRanks) {
      diagnostics_.add(size_position(), size_key(),
                       size_key() + " " + text(run_.gpus > 0 ? run_.gpus : run_.nodes) + " makes " +
                           text(run_.num_gpus()) + " ranks; at most " + text(kMostRanks) +
                           " are laid out");
    }
  }

  void batch() {
    const std::int64_t step = run_.training.micro_batch * run_.data_parallel();
    const std::int64_t global = run_.training.global_batch;
    if (global % step != 0) {
      const std::int64_t below = global / step * step;
      diagnostics_.add(file_.batch_position, "training.global_batch",
                       "global_batch " + text(global) + " is not a multiple of micro_batch " +
                           text(run_.training.micro_batch) + " x data parallel " +
                           text(run_.data_parallel()) + " = " + text(step) + "; " +
                           (below > 0 ? text(below) + " and " : "") + text(below + step) +
                           (below > 0 ? " are" : " is"));
      return;
    }
    const std::int64_t passes =
        run_.num_micro_batches() * (run_.model.layers / run_.parallel.pipeline + 1);
    if (passes > kMostPasses) {
      diagnostics_.add(file_.batch_position, "training.global_batch",
                       "global_batch " + text(global) + " makes " + text(passes) +
                           " layer passes per step on each rank; at most " + text(kMostPasses) +
                           " are simulated");
    }
  }

  void sharding() {
    if (run_.parallel.zero == 0 && run_.parallel.shard) {
      diagnostics_.add(file_.shard_position, "parallel.shard", "shard has no effect with zero 0");
    } else if (run_.parallel.shard && run_.replicas() % *run_.parallel.shard != 0) {
      diagnostics_.add(file_.shard_position, "parallel.shard",
                       "shard " + text(*run_.parallel.shard) + " does not divide the " +
                           text(run_.replicas()) + " ranks that hold the same parameters");
    }
  }

  void layers() {
    check_stage_layers(file_, run_, diagnostics_);
    const bool is_chosen = pipeline_schedule(run_.parallel.schedule).chunks == 0;
    if (run_.parallel.virtual_stages > 1 && run_.parallel.pipeline == 1 && is_chosen) {
      diagnostics_.add(file_.virtual_stages_position, "parallel.virtual_stages",
                       "virtual_stages " + text(run_.parallel.virtual_stages) +
                           " has no effect with pipeline 1");
    }
  }

  void tensor() {
    divides("heads", run_.model.heads);
    const std::int64_t kv_heads = run_.model.kv_heads;
    if (kv_heads != run_.model.heads && run_.parallel.tensor % kv_heads != 0) {
      divides("kv_heads", kv_heads);
    }
    divides("ffn", run_.model.ffn);
    if (run_.parallel.sequence_parallel && run_.parallel.tensor == 1) {
      diagnostics_.add(file_.sequence_parallel_position, "parallel.sequence_parallel",
                       "sequence_parallel has no effect with tensor 1");
    }
    if (run_.parallel.sequence_parallel &&
        run_.training.sequence_length % run_.parallel.tensor != 0) {
      diagnostics_.add(file_.sequence_position, "training.sequence_length",
                       "sequence_length " + text(run_.training.sequence_length) +
                           " is not a multiple of tensor " + text(run_.parallel.tensor) +
                           ", as sequence_parallel needs");
    }
  }
  void divides(const std::string& what, std::int64_t size) {
    if (size % run_.parallel.tensor != 0) {
      diagnostics_.add(file_.tensor_position, "parallel.tensor",
                       "tensor " + text(run_.parallel.tensor) + " does not divide the model's " +
                           what + " " + text(size));
    }
  }

  void sequence() {
    const std::int64_t length = run_.training.sequence_length;
    const std::int64_t shares =
        run_.parallel.context * (run_.parallel.sequence_parallel ? run_.parallel.tensor : 1);
    if (run_.parallel.context > 1 && length % shares != 0) {
      diagnostics_.add(
          file_.context_position, "parallel.context",
          "context " + text(run_.parallel.context) + " does not divide the " + "sequence_length " +
              text(length) +
              (shares > run_.parallel.context ? " into shares that tensor divides" : ""));
    }
    if (run_.parallel.context > 1 && run_.stack.kernels.attention == AttentionKernel::unfused) {
      diagnostics_.add(file_.context_position, "parallel.context",
                       "context " + text(run_.parallel.context) +
                           " needs flash attention, which stack '" + run_.stack.name +
                           "' does not run");
    }
    if (run_.model.position == PositionKind::learned && length > run_.model.max_positions) {
      diagnostics_.add(file_.sequence_position, "training.sequence_length",
                       "sequence_length " + text(length) + " is more than the " +
                           text(run_.model.max_positions) + " learned positions of the model");
    }
    check_architecture(file_, run_, diagnostics_);
  }

  void gpu_kinds() {
    for (const Cluster* kind : run_.cluster.kinds()) {
      precision(kind->gpu);
      attention(kind->gpu);
    }
  }

  void precision(const Gpu& gpu) {
    if (!supports(gpu, run_.training.precision)) {
      std::string others;
      for (const auto& [dtype, fit] : gpu.gemm) {
        others += (others.empty() ? "" : ", ") + std::string(name_of(dtype));
      }
      diagnostics_.add(file_.precision_position, "training.precision",
                       "precision " + std::string(name_of(run_.training.precision)) +
                           " has no GEMM parameters in the file of GPU '" + gpu.name +
                           "' of platform '" + run_.cluster.name + "', which has " + others);
    }
  }

  void attention(const Gpu& gpu) {
    const auto version = flash_version(run_.stack.kernels.attention);
    if (version && !supports(gpu, *version)) {
      diagnostics_.add(file_.stack_position, "stack",
                       "stack '" + run_.stack.name + "' runs an attention kernel that GPU '" +
                           gpu.name + "' of platform '" + run_.cluster.name +
                           "' has no parameters for");
    }
  }

  // What a process can hold, not physics.
  static constexpr std::int64_t kMostPasses = 1'000'000;
  static constexpr std::int64_t kMostRanks = 262'144;

  const RunFile& file_;
  const Run& run_;
  Diagnostics& diagnostics_;
};

}  // namespace

std::string beside(const std::string& name_or_path, const std::string& directory) {
  const bool is_relative = config::is_path(name_or_path) && !name_or_path.starts_with('/');
  return is_relative && !directory.empty() ? directory + "/" + name_or_path : name_or_path;
}

Cluster load_platform(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
                      const std::string& directory) {
  return load_cluster(sources, beside(file.platform, directory), catalogue.platforms,
                      {pointer(file.platform_overrides), pointer(file.gpu_overrides)});
}

// Hosts only where the run copies to them: their links would be in the way of nothing else.
std::unique_ptr<Machine> build_machine(const Run& run) {
  const bool copies_to_host = run.offload.optimizer || run.training.offload_activations > 0;
  auto machine = build_machine(copies_to_host ? run.cluster : without_hosts(run.cluster),
                               static_cast<std::size_t>(run.nodes));
  for (const auto& [link, capacity] : run.variation.link_capacities) {
    machine->network().links[link.index()].capacity *= capacity;
  }
  return machine;
}

Run assemble(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
             const std::string& directory, Diagnostics& diagnostics) {
  Run run;
  if (file.inline_model) {
    run.model = *file.inline_model;
  } else {
    run.model = try_load(
        [&] { return load_model(sources, beside(file.model, directory), catalogue.models); },
        file.model_position, "model", diagnostics);
  }
  run.cluster = try_load([&] { return load_platform(file, sources, catalogue, directory); },
                         file.platform_position, "platform", diagnostics);
  run.stack = try_load(
      [&] {
        return load_stack(sources, beside(file.stack, directory), catalogue.stacks,
                          pointer(file.stack_overrides));
      },
      file.stack_position, "stack", diagnostics);
  run.nodes = file.nodes.value_or(run.cluster.nodes);
  if (file.gpus && run.cluster.gpus_per_node > 0) {
    run.gpus = *file.gpus;
    run.nodes = (run.gpus + run.cluster.gpus_per_node - 1) / run.cluster.gpus_per_node;
  }
  run.training = file.training;
  run.parallel = file.parallel;
  run.sharding = file.sharding;
  run.offload = file.offload;
  run.variation = file.variation;
  run.collectives = file.collectives;
  run.compression = file.compression;
  run.generation = file.generation;
  run.measured = file.measured;
  return run;
}

void check(const RunFile& file, const Run& run, Diagnostics& diagnostics) {
  Check(file, run, diagnostics).all();
}

void place_variation(const RunFile& file, Run& run, Diagnostics& diagnostics) {
  if (!(file.variation.gpus.empty() && file.variation.links.empty())) {
    resolve_variation(file.variation_places, *build_machine(run),
                      static_cast<std::size_t>(run.num_gpus()), run.variation, diagnostics);
  }
}

Run resolve(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
            const std::string& directory) {
  Diagnostics diagnostics;
  Run run = assemble(file, sources, catalogue, directory, diagnostics);
  if (diagnostics.empty()) {
    check(file, run, diagnostics);
  }
  if (diagnostics.empty()) {
    place_variation(file, run, diagnostics);
  }
  diagnostics.throw_if_any();
  return run;
}

}  // namespace foretrain
