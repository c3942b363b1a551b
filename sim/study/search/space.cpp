// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/space.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/core/error.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/resolve.hpp"

namespace foretrain {
namespace {

// Of the tokens of a sequence a rank keeps at least as many: with fewer, attention kernels are
// below one tile of queries per SM, and nobody runs context parallelism so.
constexpr std::int64_t kLeastTokens = 512;

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> all;
  for (std::int64_t i = 1; i <= number; ++i) {
    if (number % i == 0) {
      all.push_back(i);
    }
  }
  return all;
}

// Whether a schedule leaves the number of chunks open.
bool takes_chunks(const PipelineSchedule& schedule) {
  return schedule.chunks == 0 && !schedule.refuse({2, 2, 4, 0});
}

template <class T>
bool is_among(const std::optional<std::vector<T>>& left, const T& value) {
  return !left || std::find(left->begin(), left->end(), value) != left->end();
}

bool describes_hosts(const Cluster& cluster) {
  const auto kinds = cluster.kinds();
  return std::all_of(kinds.begin(), kinds.end(),
                     [](const Cluster* kind) { return kind->host.has_value(); });
}

/// Goes through the layouts on so many GPUs, from the outermost choice to the innermost.
class Enumeration {
 public:
  Enumeration(const Run& base, const FixedChoices& fixed, bool can_offload,
              const std::function<void(const LayoutChoice&)>& visit)
      : base_(base), fixed_(fixed), can_offload_(can_offload), visit_(visit) {}

  void run(std::int64_t gpus) {
    layout_.gpus = gpus;
    for (const std::int64_t tensor : divisors(base_.model.heads)) {
      if (tensor <= std::max(base_.cluster.gpus_per_node, base_.parallel.tensor) &&
          gpus % tensor == 0 && allows("parallel.tensor", tensor)) {
        layout_.tensor = tensor;
        pipelines();
      }
    }
  }

 private:
  [[nodiscard]] bool allows(std::string_view key, std::int64_t value) const {
    return fixed_.allows(key, value);
  }

  // What the stages and chunks divide: the layers, with embedding and head if those count as such,
  // or the entries of a list.
  [[nodiscard]] std::int64_t dealt_out() const {
    if (!base_.parallel.stage_layers.empty()) {
      return static_cast<std::int64_t>(base_.parallel.stage_layers.size());
    }
    return base_.model.layers + (base_.parallel.embedding_as_layer ? 2 : 0);
  }

  void pipelines() {
    for (const std::int64_t pipeline : divisors(dealt_out())) {
      if (layout_.gpus % (layout_.tensor * pipeline) == 0 &&
          allows("parallel.pipeline", pipeline)) {
        layout_.pipeline = pipeline;
        contexts();
      }
    }
  }

  void contexts() {
    const std::int64_t length = base_.training.sequence_length;
    const std::int64_t replicas = layout_.gpus / (layout_.tensor * layout_.pipeline);
    const bool is_flash = base_.stack.kernels.attention != AttentionKernel::unfused;
    for (const std::int64_t context : divisors(replicas)) {
      const bool is_sensible =
          context == 1 || (is_flash && length % context == 0 && length / context >= kLeastTokens);
      const std::int64_t data = replicas / context;
      if (is_sensible && allows("parallel.context", context) && allows("parallel.data", data) &&
          base_.training.global_batch % data == 0) {
        layout_.context = context;
        experts();
      }
    }
  }

  void experts() {
    for (const std::int64_t degree :
         divisors(base_.model.moe ? base_.model.moe->experts : std::int64_t{1})) {
      const std::int64_t split = base_.parallel.experts.tensor.value_or(layout_.tensor);
      const std::int64_t places = layout_.gpus / layout_.pipeline;
      if (places % (degree * split) == 0 && allows("parallel.expert", degree)) {
        layout_.expert = degree;
        micro_batches();
      }
    }
  }

  void micro_batches() {
    for (const std::int64_t micro_batch : divisors(base_.training.global_batch / layout_.data())) {
      if (allows("training.micro_batch", micro_batch)) {
        layout_.micro_batch = micro_batch;
        recomputes();
      }
    }
  }

  void recomputes() {
    std::vector<Recompute> policies = {Recompute::none, Recompute::selective, Recompute::full};
    const Recompute own = base_.training.recompute;
    if (std::find(policies.begin(), policies.end(), own) == policies.end()) {
      policies.push_back(own);
    }
    for (const Recompute policy : policies) {
      if (is_among(fixed_.recomputes, policy)) {
        layout_.recompute = policy;
        schedules();
      }
    }
  }

  void schedules() {
    for (const PipelineSchedule& schedule : pipeline_schedules()) {
      if (!is_among(fixed_.schedules, std::string(schedule.name))) {
        continue;
      }
      layout_.schedule = schedule.name;
      for (const std::int64_t chunks : chunks_of(schedule)) {
        if (allows("parallel.virtual_stages", chunks)) {
          layout_.virtual_stages = chunks;
          shards();
        }
      }
    }
  }

  [[nodiscard]] std::vector<std::int64_t> chunks_of(const PipelineSchedule& schedule) const {
    if (schedule.chunks > 0) {
      return {schedule.chunks};
    }
    if (layout_.pipeline == 1 || !takes_chunks(schedule)) {
      return {1};
    }
    return divisors(dealt_out() / layout_.pipeline);
  }

  void shards() {
    for (std::int64_t zero = 0; zero <= 3; ++zero) {
      if (allows("parallel.zero", zero)) {
        layout_.zero = zero;
        offloads();
      }
    }
  }

  void offloads() {
    for (const OffloadChoice choice :
         {OffloadChoice::none, OffloadChoice::optimizer, OffloadChoice::optimizer_and_parameters}) {
      const std::int64_t least_zero = static_cast<std::int64_t>(choice) == 2 ? 3 : 1;
      const bool is_possible =
          choice == OffloadChoice::none || (can_offload_ && layout_.zero >= least_zero);
      if (is_possible && is_among(fixed_.offloads, choice)) {
        layout_.offload = choice;
        visit_(layout_);
      }
    }
  }

  const Run& base_;
  const FixedChoices& fixed_;
  bool can_offload_;
  const std::function<void(const LayoutChoice&)>& visit_;
  LayoutChoice layout_;
};

Run assembled(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
              const std::string& directory) {
  config::Diagnostics diagnostics;
  Run run = assemble(file, sources, catalogue, directory, diagnostics);
  diagnostics.throw_if_any();
  return run;
}

}  // namespace

SearchSpace::SearchSpace(const RunFile& file, config::Sources& sources, const Catalogue& catalogue,
                         const std::string& directory, FixedChoices fixed)
    : SearchSpace(file, assembled(file, sources, catalogue, directory), std::move(fixed)) {}

SearchSpace::SearchSpace(RunFile file, Run base, FixedChoices fixed)
    : file_(std::move(file)),
      base_(std::move(base)),
      fixed_(std::move(fixed)),
      can_offload_(describes_hosts(base_.cluster)) {
  file_.parallel.data.reset();  // it states what the file's own layout leaves
  base_.parallel.data.reset();
  check_base();
}

void SearchSpace::check_base() const {
  config::Diagnostics diagnostics;
  if (base_.variation.kernel_jitter > 0) {
    diagnostics.add({}, "variation.kernel_jitter",
                    "a search compares layouts by their means: leave the jitter out");
  }
  diagnostics.throw_if_any();
}

void SearchSpace::for_each(std::int64_t gpus,
                           const std::function<void(const LayoutChoice&)>& visit) const {
  Enumeration(base_, fixed_, can_offload_, visit).run(gpus);
}

bool SearchSpace::allows(const LayoutChoice& layout) const {
  return fixed_.allows("parallel.zero", layout.zero) &&
         is_among(fixed_.schedules, std::string(layout.schedule)) &&
         is_among(fixed_.offloads, layout.offload) &&
         is_among(fixed_.recomputes, layout.recompute) &&
         fixed_.allows("parallel.tensor", layout.tensor) &&
         fixed_.allows("parallel.pipeline", layout.pipeline) &&
         fixed_.allows("parallel.context", layout.context) &&
         fixed_.allows("parallel.expert", layout.expert) &&
         fixed_.allows("parallel.data", layout.data()) &&
         fixed_.allows("parallel.virtual_stages", layout.virtual_stages) &&
         fixed_.allows("training.micro_batch", layout.micro_batch);
}

void SearchSpace::lay_out(const LayoutChoice& layout, Run& run) const {
  const std::int64_t per_node = base_.cluster.gpus_per_node;
  const PipelineSchedule& schedule = pipeline_schedule(layout.schedule);
  run.gpus = base_.gpus > 0 || layout.gpus % per_node != 0 ? layout.gpus : 0;
  run.nodes = (layout.gpus + per_node - 1) / per_node;
  run.training.micro_batch = layout.micro_batch;
  run.training.recompute = layout.recompute;
  Parallel& parallel = run.parallel;
  parallel.tensor = layout.tensor;
  parallel.pipeline = layout.pipeline;
  parallel.context = layout.context;
  parallel.experts.degree = layout.expert;
  parallel.virtual_stages = layout.virtual_stages;
  parallel.zero = layout.zero;
  parallel.schedule.assign(layout.schedule);
  // What the file says of these holds where it can have an effect.
  parallel.sequence_parallel = base_.parallel.sequence_parallel && layout.tensor > 1;
  parallel.shard = layout.zero > 0 ? base_.parallel.shard : std::nullopt;
  parallel.embedding_as_layer = base_.parallel.embedding_as_layer && layout.pipeline > 1;
  parallel.micro_batch_group =
      schedule.has_groups ? base_.parallel.micro_batch_group : std::nullopt;
  parallel.grid.context_kind =
      layout.context > 1 ? base_.parallel.grid.context_kind : GridKeys{}.context_kind;
  run.offload.optimizer = layout.offload != OffloadChoice::none;
  run.offload.parameters = layout.offload == OffloadChoice::optimizer_and_parameters;
  run.offload.delayed_update = run.offload.optimizer && base_.offload.delayed_update;
  if (!base_.variation.gpus.empty() || !base_.variation.links.empty()) {
    run.variation = variation_of(run);
  }
}

// The links of hosts are numbered with the others, where there are hosts.
const Variation& SearchSpace::variation_of(Run& run) const {
  const auto [place, is_new] =
      variations_.try_emplace({run.num_gpus(), run.offload.optimizer}, base_.variation);
  if (is_new) {
    config::Diagnostics diagnostics;
    run.variation = base_.variation;
    place_variation(file_, run, diagnostics);
    diagnostics.throw_if_any();
    place->second = run.variation;
  }
  return place->second;
}

Run SearchSpace::run_in(const LayoutChoice& layout) const {
  Run run = base_;
  lay_out(layout, run);
  return run;
}

std::optional<Inadmissible> SearchSpace::why_not(const Run& run) const {
  config::Diagnostics diagnostics;
  check(file_, run, diagnostics);
  if (diagnostics.empty()) {
    return std::nullopt;
  }
  try {
    diagnostics.throw_if_any();
  } catch (const ConfigError& error) {
    const Diagnostic& first = error.diagnostics().front();
    return Inadmissible{first.key, first.message};
  }
  return std::nullopt;
}

std::vector<std::string> SearchSpace::sets_of(const LayoutChoice& layout) const {
  std::vector<std::string> sets = {
      file_.gpus || layout.gpus % base_.cluster.gpus_per_node != 0
          ? fmt::format("gpus={}", layout.gpus)
          : fmt::format("nodes={}", layout.gpus / base_.cluster.gpus_per_node),
      fmt::format("parallel.tensor={}", layout.tensor),
      fmt::format("parallel.pipeline={}", layout.pipeline)};
  if (layout.context > 1 || base_.parallel.context > 1) {
    sets.push_back(fmt::format("parallel.context={}", layout.context));
  }
  if (base_.model.moe) {
    sets.push_back(fmt::format("parallel.expert={}", layout.expert));
  }
  sets.push_back(fmt::format("training.micro_batch={}", layout.micro_batch));
  sets.push_back(fmt::format("parallel.schedule={}", layout.schedule));
  sets.push_back(fmt::format("parallel.virtual_stages={}", layout.virtual_stages));
  sets.push_back(fmt::format("training.recompute={}", recompute_policy(layout.recompute).name));
  sets.push_back(fmt::format("parallel.zero={}", layout.zero));
  if (layout.tensor == 1 && base_.parallel.sequence_parallel) {
    sets.emplace_back("parallel.sequence_parallel=false");
  }
  if (can_offload_ && (layout.offload != OffloadChoice::none || base_.offload.optimizer)) {
    sets.push_back(fmt::format("offload.optimizer={}", layout.offload != OffloadChoice::none));
    sets.push_back(fmt::format("offload.parameters={}",
                               layout.offload == OffloadChoice::optimizer_and_parameters));
  }
  return sets;
}

std::vector<std::string> SearchSpace::describe() const {
  const Run& run = base_;
  std::vector<std::string> lines = {
      fmt::format("tensor: divisors of {} heads up to the {} GPUs of a node", run.model.heads,
                  std::max(run.cluster.gpus_per_node, run.parallel.tensor))};
  lines.push_back(fmt::format("pipeline, virtual stages: divisors of {} layers", run.model.layers));
  if (run.stack.kernels.attention != AttentionKernel::unfused) {
    lines.push_back(fmt::format("context: leaves a rank at least {} of {} tokens", kLeastTokens,
                                run.training.sequence_length));
  }
  if (run.model.moe) {
    lines.push_back(fmt::format("expert: divisors of {} experts", run.model.moe->experts));
  }
  lines.push_back(fmt::format("micro-batch: divides the {} sequences of a step over the replicas",
                              run.training.global_batch));
  lines.push_back(fmt::format(
      "schedule: {}; recompute: none, selective, full; zero: 0 to 3{}", pipeline_schedules().size(),
      can_offload_ ? "; offloaded: nothing, optimizer, and parameters" : ""));
  if (!fixed_.assignments.empty()) {
    lines.push_back(fmt::format("of these: {}", fmt::join(fixed_.assignments, "; ")));
  }
  return lines;
}

std::string text_of(const LayoutChoice& layout) {
  std::string text = fmt::format("tensor {}  pipeline {}", layout.tensor, layout.pipeline);
  if (layout.virtual_stages > 1) {
    text += fmt::format(" x{}", layout.virtual_stages);
  }
  text += fmt::format("  data {}", layout.data());
  if (layout.context > 1) {
    text += fmt::format("  context {}", layout.context);
  }
  if (layout.expert > 1) {
    text += fmt::format("  expert {}", layout.expert);
  }
  text += fmt::format("  micro-batch {}  {}  recompute {}  zero {}", layout.micro_batch,
                      layout.schedule, recompute_policy(layout.recompute).name, layout.zero);
  if (layout.offload != OffloadChoice::none) {
    text += layout.offload == OffloadChoice::optimizer ? "  optimizer on host"
                                                       : "  optimizer, parameters on host";
  }
  return text;
}

std::string short_text_of(const LayoutChoice& layout) {
  std::string text = fmt::format("t{} p{}", layout.tensor, layout.pipeline);
  const auto add = [&](const char* sign, std::int64_t degree) {
    text += degree > 1 ? fmt::format("{}{}", sign, degree) : "";
  };
  add("x", layout.virtual_stages);
  add(" c", layout.context);
  text += fmt::format(" d{}", layout.data());
  add(" e", layout.expert);
  text += fmt::format(" mb{} zero{}", layout.micro_batch, layout.zero);
  if (layout.recompute != Recompute::none) {
    text += fmt::format(" {}", recompute_policy(layout.recompute).name);
  }
  return text;
}

}  // namespace foretrain
