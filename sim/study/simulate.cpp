// SPDX-License-Identifier: Apache-2.0
#include "sim/study/simulate.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/core/hash.hpp"
#include "sim/lump/lump.hpp"
#include "sim/report/trace.hpp"
#include "sim/study/generation.hpp"
#include "sim/study/lumping_text.hpp"
#include "strategies/lower.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/platform_costs.hpp"

namespace foretrain {
namespace {

constexpr std::string_view kVersion = FORETRAIN_VERSION;

double gpus(const Run& run) { return static_cast<double>(run.num_gpus()); }

/// Dense peak of a GPU; of mixed kinds the mean.
FlopsPerSecond peak_of(const Run& run) {
  const std::vector<const Cluster*> kinds = run.cluster.kinds();
  const std::vector<std::int64_t> counts = run.cluster.nodes_of_kinds(run.nodes);
  FlopsPerSecond sum(0);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    sum += kinds[i]->gpu.peak.at(run.training.precision).value * static_cast<double>(counts[i]);
  }
  return sum / static_cast<double>(run.nodes);
}

/// Of each body, the memory of the smallest GPU that one of its ranks is on.
std::vector<Bytes> memory_of_bodies(const Run& run, const Program& program) {
  const std::vector<const Cluster*> kinds = run.cluster.kinds();
  const std::vector<std::int64_t> counts = run.cluster.nodes_of_kinds(run.nodes);
  std::vector<Bytes> of_node;
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    of_node.insert(of_node.end(), static_cast<std::size_t>(counts[kind]),
                   kinds[kind]->gpu.memory.value);
  }
  std::vector<Bytes> least(program.bodies.size(),
                           *std::max_element(of_node.begin(), of_node.end()));
  const auto per_node = static_cast<std::size_t>(run.cluster.gpus_per_node);
  for (const RankBinding& rank : program.ranks) {
    Bytes& memory = least[rank.body.index()];
    memory = std::min(memory, of_node[rank.device.index() / per_node]);
  }
  return least;
}

std::string title_of(const Run& run) {
  return fmt::format("{} on {} x {} ({} GPUs)", run.model.name, run.nodes, run.cluster.name,
                     run.num_gpus());
}

std::string layout_of_text(const Run& run) {
  const Parallel& parallel = run.parallel;
  const GridKeys usual;
  const std::string kind = parallel.grid.context_kind == usual.context_kind
                               ? ""
                               : fmt::format(" ({})", parallel.grid.context_kind);
  std::string text = fmt::format(
      "tensor {}{}  pipeline {}{}  data {}  zero {}{}   micro-batch {} x {}   {}", parallel.tensor,
      parallel.sequence_parallel ? " (sequence parallel)" : "", parallel.pipeline,
      parallel.context > 1 ? fmt::format("  context {}{}", parallel.context, kind) : "",
      run.data_parallel(), parallel.zero,
      parallel.shard ? fmt::format(" (shard {})", *parallel.shard) : "", run.training.micro_batch,
      run.num_micro_batches(), parallel.schedule);
  if (parallel.virtual_stages > 1) {
    text += fmt::format(" x{}", parallel.virtual_stages);
  }
  if (has_expert_grid(run)) {
    text += fmt::format("   expert {} x tensor {}", parallel.experts.degree, expert_tensor(run));
  }
  if (!(parallel.grid.order == usual.order)) {
    text += fmt::format("   order {}", name_of(parallel.grid.order));
  }
  if (run.sharding.averages()) {
    text += fmt::format("   averaged every {} steps", run.sharding.average_every);
  }
  if (run.offload.optimizer) {
    text += fmt::format("   offloaded: optimizer{}", run.offload.parameters ? ", parameters" : "");
  }
  return text + fmt::format("   stack {}", run.stack.name);
}

std::vector<RoleMemory> memory_of(const Run& run, const Program& program,
                                  const Timeline& timeline) {
  const std::vector<Bytes> capacities = memory_of_bodies(run, program);
  std::vector<RoleMemory> memory;
  for (const Rank rank : representative_ranks(program)) {
    memory.push_back({program.body_of(rank).name,
                      capacities[program.ranks[rank.index()].body.index()],
                      memory_peak(memory_curve(program, timeline, rank))});
  }
  return memory;
}

/// Of the node whose ranks hold most of its host's memory, and that of the smallest host.
std::optional<HostMemory> host_memory_of(const Run& run, const Program& program) {
  if (!run.offload.optimizer) {
    return std::nullopt;
  }
  std::map<std::size_t, Bytes> by_node;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const auto per_node = static_cast<std::size_t>(run.cluster.gpus_per_node);
    by_node[program.ranks[rank].device.index() / per_node] +=
        program.body_of(Rank(rank)).host_bytes;
  }
  HostMemory memory;
  for (const auto& [node, bytes] : by_node) {
    memory.used = std::max(memory.used, bytes);
  }
  memory.capacity = run.cluster.kinds().front()->host->memory.value;
  for (const Cluster* kind : run.cluster.kinds()) {
    memory.capacity = std::min(memory.capacity, kind->host->memory.value);
  }
  return memory;
}

/// FLOPs of a step in the way in which a source counts them, and what to call that.
std::pair<Flops, std::string> counted_flops(const Run& run, const Measured& measured) {
  switch (measured.flops_count) {
    case FlopsCount::model:
      return {model_flops(run), "model TFLOP/s per GPU"};
    case FlopsCount::hardware:
      return {hardware_flops(run), "TFLOP/s per GPU, recomputation counted"};
    case FlopsCount::own:
      return {run.tokens_per_step() * measured.flops_per_token,
              "TFLOP/s per GPU, as the source counts"};
  }
  return {};
}

std::vector<Comparison> comparisons_of(const Run& run, Seconds step) {
  std::vector<Comparison> comparisons;
  if (!run.measured) {
    return comparisons;
  }
  const Measured& measured = *run.measured;
  if (measured.step_time) {
    comparisons.push_back({"step time", measured.step_time->value, step.value,
                           half_of_peak(run).value, "s", measured.source});
  }
  if (measured.flops_per_gpu) {
    const auto counted = counted_flops(run, measured);
    const auto rate = [&](Seconds time) {
      return (counted.first / time).value / gpus(run) * 1e-12;
    };
    comparisons.push_back({counted.second, measured.flops_per_gpu->value * 1e-12, rate(step),
                           rate(half_of_peak(run)), "TFLOP/s", measured.source});
  }
  return comparisons;
}

/// The numbers of the GPU file that this run leans on and that nobody measured on this GPU, by
/// table.
std::string leans_on(const Run& run, const Gpu& gpu) {
  static const std::map<Dtype, std::string> names = {{Dtype::fp32, "fp32"}, {Dtype::tf32, "tf32"},
                                                     {Dtype::fp16, "fp16"}, {Dtype::bf16, "bf16"},
                                                     {Dtype::fp8, "fp8"},   {Dtype::fp4, "fp4"}};
  const bool is_flash = run.stack.kernels.attention != AttentionKernel::unfused;
  std::set<std::string> tables;
  for (const std::string& name : unmeasured(gpu)) {
    const std::string table = name.substr(0, name.find('.'));
    if (table == "gemm" && !name.starts_with("gemm." + names.at(run.training.precision) + ".")) {
      continue;
    }
    if (table != "flash" || is_flash) {
      tables.insert(table);
    }
  }
  return fmt::format("{}", fmt::join(tables, ", "));
}

void fill_rates(const Run& run, Seconds step, Prediction& prediction) {
  prediction.num_gpus = gpus(run);
  prediction.tokens_per_second = run.tokens_per_step() / step.value;
  prediction.model_flops_per_gpu = model_flops(run) / step / gpus(run);
  prediction.hardware_flops_per_gpu = hardware_flops(run) / step / gpus(run);
  prediction.model_flops_utilization = prediction.model_flops_per_gpu / peak_of(run);
  prediction.hardware_flops_utilization = prediction.hardware_flops_per_gpu / peak_of(run);
  prediction.naive_step_time = half_of_peak(run);
  if (run.training.tokens) {
    prediction.training_time = step * (*run.training.tokens / run.tokens_per_step());
  }
}

// What makes this run differ from its platform's description; a long list is cut.
void tell_variation(const Variation& variation, Prediction& prediction) {
  if (variation.is_none()) {
    return;
  }
  constexpr std::size_t kMostTold = 6;
  std::vector<std::string> lines = describe(variation);
  if (lines.size() > kMostTold) {
    const std::size_t more = lines.size() - kMostTold;
    lines.resize(kMostTold);
    lines.push_back(fmt::format("{} more", more));
  }
  prediction.notes.push_back(fmt::format("variation: {}", fmt::join(lines, "; ")));
  VariationFacts& facts = prediction.variation.emplace();
  facts.kernel_jitter = variation.kernel_jitter;
  facts.seed = variation.seed;
  for (const GpuSpeed& gpu : variation.gpus) {
    facts.gpus.emplace_back(gpu.name(), gpu.speed);
  }
  for (const LinkCapacity& link : variation.links) {
    facts.links.emplace_back(link.name, link.capacity);
  }
}

Prediction predict(const Run& run, const Program& program, const Timeline& timeline,
                   const std::vector<WeightedRank>& ranks) {
  Prediction prediction;
  prediction.title = title_of(run);
  prediction.layout = layout_of_text(run);
  prediction.step_time = to_picoseconds(timeline.end);
  fill_rates(run, prediction.step_time.seconds(), prediction);
  prediction.breakdown = mean_breakdown(program, timeline, ranks);
  for (const Rank rank : representative_ranks(program)) {
    prediction.by_role.emplace_back(program.body_of(rank).name, breakdown(program, timeline, rank));
  }
  prediction.memory = memory_of(run, program, timeline);
  prediction.host = host_memory_of(run, program);
  if (run.generation) {
    prediction.generation = generation_memory(run);
  }
  prediction.comparisons = comparisons_of(run, prediction.step_time.seconds());
  tell_variation(run.variation, prediction);
  for (const std::string& line : describe(run.compression)) {
    prediction.notes.push_back("compressed " + line);
  }
  for (const Cluster* kind : run.cluster.kinds()) {
    if (const std::string tables = leans_on(run, kind->gpu); !tables.empty()) {
      prediction.notes.push_back(fmt::format(
          "transferred or assumed for {}: {} (foretrain check has each number's source)",
          kind->gpu.name, tables));
    }
  }
  if (const auto keys = unmeasured(facts(run.stack)); !keys.empty()) {
    prediction.notes.push_back(fmt::format("transferred or assumed in stack {}: {}", run.stack.name,
                                           fmt::join(keys, ", ")));
  }
  if (!prediction.fits()) {
    prediction.notes.push_back(
        "this does not fit in memory; the time is what it would take if it did (foretrain memory "
        "names changes that make it fit)");
  }
  return prediction;
}

// What a process can hold, not physics: every stream has a stack of its own, Linux gives a process
// some 65,000 mappings, and a stack with its guard page takes two; every op of a simulated rank
// leaves a span.
constexpr std::size_t kMostStreams = 30'000;
constexpr std::size_t kMostOps = 200'000'000;

void refuse_too_large(const Run& run, const Program& program) {
  std::size_t streams = 0;
  std::size_t ops = 0;
  std::vector<std::size_t> ops_of_body;
  for (const Body& body : program.bodies) {
    ops_of_body.push_back(0);
    for (const Stream& stream : body.streams) {
      ops_of_body.back() += stream.ops.size();
    }
  }
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    streams += program.body_of(Rank(rank)).streams.size();
    ops += ops_of_body[program.ranks[rank].body.index()];
  }
  if (streams > kMostStreams || ops > kMostOps) {
    throw ConfigError({Diagnostic{
        "", 0, 0, "nodes",
        fmt::format("nodes {} leaves {} ranks to simulate one by one, with {} streams and {} ops "
                    "in all; at most {} streams and {} ops are simulated",
                    run.nodes, program.ranks.size(), streams, ops, kMostStreams, kMostOps),
        "", 0}});
  }
}

std::vector<WeightedRank> play_each(const Run& run, const CostModel& costs,
                                    const Progress& progress, Simulation& simulation) {
  refuse_too_large(run, simulation.program);
  simulation.timeline = play(simulation.program, costs, progress);
  std::vector<WeightedRank> ranks;
  for (std::size_t rank = 0; rank < simulation.program.ranks.size(); ++rank) {
    simulation.simulated.push_back(Rank(rank));
    ranks.push_back({Rank(rank), 1});
  }
  return ranks;
}

std::vector<WeightedRank> play_lumped(const Run& run, const CostModel& costs,
                                      const Progress& progress, Simulation& simulation) {
  Lumped lumped = lump(simulation.program, costs);
  refuse_too_large(run, lumped.program);
  Timeline timeline = play(lumped.program, *lumped.costs, progress);
  std::vector<std::vector<std::vector<Span>>> all(simulation.program.ranks.size());
  std::vector<WeightedRank> ranks;
  for (std::size_t i = 0; i < lumped.originals.size(); ++i) {
    const Rank original = lumped.originals[i];
    all[original.index()] = std::move(timeline.ranks[i]);
    ranks.push_back({original, lumped.num_ranks[i]});
  }
  for (const Rank simulated : lumped.simulated) {
    simulation.simulated.push_back(lumped.originals[simulated.index()]);
  }
  timeline.ranks = std::move(all);
  simulation.differences = std::move(lumped.differences);
  simulation.timeline = std::move(timeline);
  return ranks;
}

}  // namespace

Seconds half_of_peak(const Run& run) {
  return hardware_flops(run) / (peak_of(run) * 0.5 * gpus(run));
}

Simulation simulate(const Run& run, const Progress& progress, Fidelity fidelity) {
  const auto started = std::chrono::steady_clock::now();
  Simulation simulation;
  simulation.program = lower(run);
  const auto machine = build_machine(run);
  const PlatformCosts costs(*machine, run.variation, run.collectives);
  if (costs.is_jittered()) {
    fidelity = Fidelity::full;
  }
  const std::vector<WeightedRank> ranks = fidelity == Fidelity::full
                                              ? play_each(run, costs, progress, simulation)
                                              : play_lumped(run, costs, progress, simulation);
  simulation.prediction = predict(run, simulation.program, simulation.timeline, ranks);
  SimulationFacts& facts = simulation.prediction.simulation;
  facts.ranks = simulation.program.ranks.size();
  facts.simulated_ranks = ranks.size();
  facts.events = simulation.timeline.events;
  facts.activities = simulation.timeline.activities;
  facts.fidelity = fidelity == Fidelity::full ? "full" : "lumped";
  if (fidelity == Fidelity::lumped) {
    facts.lumping_reasons = lumping_reasons(simulation.program, simulation.differences);
  }
  facts.lumping = lumping_text(layout_of(run), simulation.simulated, facts.lumping_reasons);
  if (costs.is_jittered()) {
    facts.lumping += ": kernel_jitter makes every rank its own";
  }
  facts.wall =
      Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  return simulation;
}

Provenance provenance_of(const config::Sources& sources, const std::string& root) {
  Provenance provenance;
  provenance.version = kVersion;
  std::string all;
  for (const config::Source& source : sources.all()) {
    const bool is_ours = source.name.starts_with(root + "/");
    provenance.inputs.emplace_back(is_ours ? source.name.substr(root.size() + 1) : source.name,
                                   source.text);
    all += source.text + '\0';
  }
  provenance.config_hash = hex(fnv1a_64(all));
  return provenance;
}

}  // namespace foretrain
