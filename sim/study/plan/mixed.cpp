// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/mixed.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "sim/study/amounts.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

/// Some of the nodes.
struct Subset {
  std::string words;
  OpenRun open;
  bool is_all = false;
};

std::string parts_set(const PartNames& names, const std::vector<std::int64_t>& nodes) {
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    list += fmt::format("{}{{ cluster = {}, nodes = {} }}", i == 0 ? "" : ", ",
                        config::toml_string(names[i]), nodes[i]);
  }
  return "override.platform.parts=[" + list + "]";
}

// The parts in another order, or only some of them.
Run with_parts(const Run& run, const std::vector<std::size_t>& order) {
  Run result = run;
  const std::vector<std::int64_t> counts = run.cluster.nodes_of_kinds(run.nodes);
  result.cluster.parts.clear();
  result.nodes = 0;
  for (const std::size_t part : order) {
    result.cluster.parts.push_back({run.cluster.parts[part].cluster, counts[part]});
    result.nodes += counts[part];
  }
  result.cluster.gpu = result.cluster.parts.front().cluster->gpu;
  result.gpus = result.nodes * run.cluster.gpus_per_node;
  return result;
}

Subset subset_of(const OpenRun& all, const PartNames& names, const std::vector<std::size_t>& order,
                 std::string words) {
  Subset subset{std::move(words), all, order.size() == names.size()};
  subset.open.run = with_parts(all.run, order);
  PartNames chosen;
  std::vector<std::int64_t> nodes;
  for (std::size_t i = 0; i < order.size(); ++i) {
    chosen.push_back(names[order[i]]);
    nodes.push_back(subset.open.run.cluster.parts[i].nodes);
  }
  subset.open.sets.push_back(parts_set(chosen, nodes));
  return subset;
}

// A batch that the replicas of fewer nodes divide: rounded down, but by no more than a tenth.
void round_batch(OpenRun& open, std::int64_t nodes_of_all) {
  std::int64_t& batch = open.run.training.global_batch;
  const std::int64_t unit = open.run.nodes * std::max<std::int64_t>(1, batch / 16 / nodes_of_all);
  if (batch % open.run.nodes != 0 && batch >= unit) {
    batch = batch / unit * unit;
    open.sets.push_back(fmt::format("training.global_batch={}", batch));
  }
}

Subset without_slow_nodes(const OpenRun& all) {
  std::set<std::int64_t> slow;
  for (const SlowPort& port : all.run.cluster.slow_ports) {
    if (port.node < all.run.nodes) {
      slow.insert(port.node);
    }
  }
  Subset subset{"without the nodes on slow ports", all};
  Run& run = subset.open.run;
  run.cluster.slow_ports.clear();
  run.nodes -= static_cast<std::int64_t>(slow.size());
  run.gpus = run.nodes * run.cluster.gpus_per_node;
  subset.open.sets.emplace_back("override.platform.fabric.slow_ports=[]");
  round_batch(subset.open, all.run.nodes);
  return subset;
}

double tokens_per_second(const Run& run, const PlanPoint& point) {
  return run.tokens_per_step() / point.step_time.value;
}

NodeChoice choice_of(const Subset& subset, std::optional<PlanPoint> best, const PriceOf& price) {
  NodeChoice choice;
  const Run& run = subset.open.run;
  choice.price = price ? price(run.cluster) : std::nullopt;
  choice.words = subset.words;
  choice.nodes = run.nodes;
  choice.is_all = subset.is_all;
  if (best) {
    choice.tokens_per_second = tokens_per_second(run, *best);
  }
  choice.best = std::move(best);
  return choice;
}

Seconds kernels_on(const Gpu& gpu, const std::vector<Step>& steps) {
  Seconds sum;
  for (const Step& step : steps) {
    std::visit(
        [&](const auto& what) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(what)>, Boundary>) {
            sum += kernel_time(Kernel{NameId(0), what}, gpu);
          }
        },
        step.what);
  }
  return sum;
}

// Kernels of one micro-batch in one layer, forward and backward, on this GPU: the mean over layers.
Seconds layer_time(const Run& run, const Gpu& gpu) {
  const StageShape shape = stage_shape(run, 0);
  Seconds sum;
  double layers = 0;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const LayerShape& layer = shape.kinds[kind];
    const auto count = static_cast<double>(shape.num_layers_of(kind));
    sum += (kernels_on(gpu, layer.work.forward) + kernels_on(gpu, layer.work.backward)) * count;
    layers += count;
  }
  return sum / layers;
}

/// How fast a stage is, were all alike: of the slowest node that it has ranks on.
std::vector<double> speeds_of_stages(const Run& run, std::int64_t stages) {
  const std::vector<std::int64_t> counts = run.cluster.nodes_of_kinds(run.nodes);
  std::vector<double> of_node;
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    const double speed = 1 / layer_time(run, run.cluster.parts[kind].cluster->gpu).value;
    of_node.insert(of_node.end(), static_cast<std::size_t>(counts[kind]), speed);
  }
  std::vector<double> speeds;
  const std::int64_t gpus = run.nodes * run.cluster.gpus_per_node;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    const std::int64_t first = stage * gpus / stages / run.cluster.gpus_per_node;
    const std::int64_t last = ((stage + 1) * gpus / stages - 1) / run.cluster.gpus_per_node;
    speeds.push_back(*std::min_element(of_node.begin() + first, of_node.begin() + last + 1));
  }
  return speeds;
}

// A run whose stages have these layers.
OpenRun with_layers(OpenRun open, std::vector<std::int64_t> layers) {
  open.sets.push_back(fmt::format("parallel.stage_layers=[{}]", fmt::join(layers, ", ")));
  open.words = fmt::format(" layers {}", fmt::join(layers, ","));
  open.run.parallel.stage_layers = std::move(layers);
  return open;
}

// The fastest of all pipelines over unlike nodes, with layers dealt out by speed, one more and one
// fewer.
std::optional<PlanPoint> fastest_uneven(const Subset& subset, FindOptions options) {
  constexpr std::array<std::int64_t, 3> kShifts = {0, 1, -1};
  const Run& run = subset.open.run;
  FixedChoices choices = usual_choices(run);
  choices.numbers["parallel.virtual_stages"] = {1};
  std::optional<PlanPoint> best;
  for (std::int64_t stages = 2; stages <= std::min(run.model.layers, run.gpus); ++stages) {
    if (run.gpus % stages != 0) {
      continue;
    }
    choices.numbers["parallel.pipeline"] = {stages};
    const std::vector<double> speeds = speeds_of_stages(run, stages);
    std::set<std::vector<std::int64_t>> seen;
    for (const std::int64_t shift : kShifts) {
      const auto layers = deal_layers(run.model.layers, speeds, shift);
      if (seen.insert(layers).second) {
        PlanPoint point =
            fastest_layout(with_layers(subset.open, layers), run.gpus, choices, options);
        if (point.is_good() && (!best || point.step_time < best->step_time)) {
          options.too_slow = point.step_time;
          best = std::move(point);
        }
      }
    }
  }
  return best;
}

std::optional<PlanPoint> fastest_even(const Subset& subset, const FindOptions& options) {
  const Run& run = subset.open.run;
  PlanPoint point = fastest_layout(subset.open, run.gpus, usual_choices(run), options);
  return point.is_good() ? std::optional(std::move(point)) : std::nullopt;
}

std::vector<Subset> subsets_of_kinds(const OpenRun& all, const PartNames& names) {
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<Subset> subsets = {subset_of(all, names, order, "all, layers alike")};
  for (const std::size_t part : order) {
    subsets.push_back(
        subset_of(all, names, {part}, "only " + all.run.cluster.parts[part].cluster->name));
  }
  return subsets;
}

std::vector<Subset> subsets_of_ports(const OpenRun& open) {
  Subset all{"all", open, true};
  all.open.run.gpus = open.run.nodes * open.run.cluster.gpus_per_node;
  return {all, without_slow_nodes(open)};
}

std::string first_kind(const Run& run, const std::vector<std::size_t>& order) {
  return run.cluster.parts[order.front()].cluster->gpu.name;
}

// Seconds of so many tokens.
Seconds time_of(const NodeChoice& choice, double tokens) {
  return Seconds(tokens / choice.tokens_per_second);
}

std::optional<double> dollars_of(const NodeChoice& choice, double tokens) {
  if (!choice.price || !choice.best) {
    return std::nullopt;
  }
  return *choice.price * static_cast<double>(choice.best->gpus) * time_of(choice, tokens).value /
         3600;
}

std::string bill_text(const NodeChoice& choice, double tokens) {
  const std::optional<double> dollars = dollars_of(choice, tokens);
  return fmt::format(" {:>7.1f} {:>8}", time_of(choice, tokens).value / 86400,
                     dollars ? show_money(*dollars) : "-");
}

// All nodes against the best part of them, in time and, where they are rented, in money.
std::string worth_text(const std::vector<NodeChoice>& choices) {
  const NodeChoice* all = nullptr;
  const NodeChoice* part = nullptr;
  for (const NodeChoice& choice : choices) {
    const NodeChoice*& best = choice.is_all ? all : part;
    if (choice.best && (best == nullptr || choice.tokens_per_second > best->tokens_per_second)) {
      best = &choice;
    }
  }
  if (all == nullptr || part == nullptr) {
    return "";
  }
  const double gain = all->tokens_per_second / part->tokens_per_second;
  std::string text = gain > 1 ? fmt::format(
                                    "worth using: all nodes bring {:+.1f} % tokens/s over the "
                                    "best part",
                                    100 * (gain - 1))
                              : fmt::format(
                                    "not worth using: the best part alone is {:.1f} % faster "
                                    "than all",
                                    100 * (1 / gain - 1));
  if (const auto of_all = dollars_of(*all, 1), of_part = dollars_of(*part, 1); of_all && of_part) {
    text += fmt::format("; rented, a token then costs {:+.1f} %", 100 * (*of_all / *of_part - 1));
  }
  return text + "\n";
}

}  // namespace

bool has_unlike_nodes(const Cluster& cluster) {
  return cluster.parts.size() > 1 || !cluster.slow_ports.empty();
}

std::vector<std::int64_t> deal_layers(std::int64_t layers, const std::vector<double>& speeds,
                                      std::int64_t shift) {
  const auto stages = static_cast<std::int64_t>(speeds.size());
  FORETRAIN_ASSERT(stages >= 1 && layers >= stages, "a stage has at least one layer");
  const double all = std::accumulate(speeds.begin(), speeds.end(), 0.0);
  std::vector<std::int64_t> dealt;
  std::vector<std::pair<double, std::size_t>> left;  // what rounding down took, and where
  std::int64_t sum = 0;
  for (std::size_t stage = 0; stage < speeds.size(); ++stage) {
    const double share = static_cast<double>(layers) * speeds[stage] / all;
    dealt.push_back(std::max<std::int64_t>(1, static_cast<std::int64_t>(share)));
    left.emplace_back(static_cast<double>(dealt.back()) - share, stage);
    sum += dealt.back();
  }
  std::stable_sort(left.begin(), left.end());
  for (std::size_t i = 0; sum < layers; i = (i + 1) % left.size(), ++sum) {
    ++dealt[left[i].second];
  }
  for (std::size_t i = left.size(); sum > layers; i = i == 0 ? left.size() : i) {
    --i;  // who got most too much gives first
    if (dealt[left[i].second] > 1) {
      --dealt[left[i].second];
      --sum;
    }
  }
  // One layer from each slowest stage to a fastest one, or back.
  const auto fastest = std::max_element(speeds.begin(), speeds.end());
  const auto slowest = std::min_element(speeds.begin(), speeds.end());
  std::vector<std::size_t> fast;
  std::vector<std::size_t> slow;
  for (std::size_t stage = 0; stage < speeds.size(); ++stage) {
    if (speeds[stage] == *fastest) {
      fast.push_back(stage);
    } else if (speeds[stage] == *slowest) {
      slow.push_back(stage);
    }
  }
  const std::vector<std::size_t>& giving = shift > 0 ? slow : fast;
  const std::vector<std::size_t>& taking = shift > 0 ? fast : slow;
  for (std::size_t i = 0; shift != 0 && i < std::min(giving.size(), taking.size()); ++i) {
    const std::int64_t moved = std::min<std::int64_t>(std::abs(shift), dealt[giving[i]] - 1);
    dealt[giving[i]] -= moved;
    dealt[taking[i]] += moved;
  }
  return dealt;
}

std::vector<NodeChoice> node_choices(const OpenRun& open, const PartNames& names,
                                     const FindOptions& options, const PriceOf& price) {
  const bool is_mixed = open.run.cluster.parts.size() > 1;
  std::vector<NodeChoice> choices;
  for (const Subset& subset : is_mixed ? subsets_of_kinds(open, names) : subsets_of_ports(open)) {
    choices.push_back(choice_of(subset, fastest_even(subset, options), price));
  }
  std::vector<std::size_t> order(names.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (int turn = 0; is_mixed && turn < 2; ++turn) {
    const Subset subset = subset_of(
        open, names, order,
        fmt::format("all, fewer layers where it is slow, {} first", first_kind(open.run, order)));
    choices.push_back(choice_of(subset, fastest_uneven(subset, options), price));
    std::reverse(order.begin(), order.end());
  }
  std::stable_sort(choices.begin(), choices.end(), [](const NodeChoice& a, const NodeChoice& b) {
    return a.tokens_per_second > b.tokens_per_second;
  });
  return choices;
}

std::string node_choices_text(const std::vector<NodeChoice>& choices, double tokens) {
  std::string text = fmt::format(
      "{:<58} {:>5} {:>8} {:>8}{}  {}\n", "which nodes to use", "nodes", "step_s", "tokens/s",
      tokens > 0 ? fmt::format(" {:>7} {:>8}", "days", "money") : "", "layout");
  for (const NodeChoice& choice : choices) {
    if (!choice.best) {
      text += fmt::format("{:<58} {:>5}  no layout fits\n", choice.words, choice.nodes);
      continue;
    }
    text += fmt::format("{:<58} {:>5} {:>8.3f} {:>8.0f}{}  {}\n", choice.words, choice.nodes,
                        choice.best->step_time.value, choice.tokens_per_second,
                        tokens > 0 ? bill_text(choice, tokens) : "", choice.best->layout);
  }
  return text + worth_text(choices);
}

}  // namespace foretrain
