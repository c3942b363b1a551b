// SPDX-License-Identifier: Apache-2.0
#include "sim/study/elasticity.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/what_if/what_if.hpp"

namespace foretrain {
namespace {

// Each by a factor of two, so that the gains can be compared.
// clang-format off
constexpr std::array<ElasticityRow, 9> kRows = {{
    {"flops",     "2x",   "GPU FLOP/s"},
    {"hbm",       "2x",   "HBM rate"},
    {"hbm_size",  "2x",   "HBM size"},
    {"nvlink",    "2x",   "NVLink"},
    {"pcie",      "2x",   "PCIe"},
    {"nic",       "2x",   "NIC"},
    {"slow_port", "2x",   "slow port"},
    {"spine",     "2x",   "spine"},
    {"latency",   "0.5x", "latencies"},
}};
// clang-format on

constexpr std::string_view kMemory = "hbm_size";

// A change of the step time that is worth a line.
constexpr double kGain = -5e-4;

double factor_in(std::string_view amount) {
  return std::stod(std::string(amount.substr(0, amount.size() - 1)));
}

/// One simulation: the run as it is, with a number changed, or with a cheaper recomputation.
struct Trial {
  std::string what_if;
  std::vector<std::string> sets;
};

// Cheapest first.
std::vector<std::string> cheaper_than(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return {};
    case Recompute::selective:
      return {"none"};
    case Recompute::operators:
    case Recompute::full:
    case Recompute::above:
      return {"none", "selective"};
  }
  return {};
}

Elasticity compare(const ElasticityRow& row, const ScalePoint& base, const ScalePoint& changed) {
  const double factor = factor_in(row.amount);
  Elasticity result;
  result.what_if = fmt::format("{}={}", row.what_if, row.amount);
  result.number = row.words;
  result.words = fmt::format("{} {:+.0f} %", row.words, 100 * (factor - 1));
  result.refusal = changed.refusal;
  if (changed.is_valid()) {
    result.step_time = changed.step_time;
    result.change = changed.step_time / base.step_time - 1;
    result.elasticity = std::log(changed.step_time / base.step_time) / std::log(factor);
  }
  return result;
}

// The fastest policy that the larger memory holds and this one does not.
void tell_memory(const ScalePoint& base, const std::vector<std::string>& policies,
                 const std::vector<ScalePoint>& points, double factor, Elasticity& result) {
  if (base.memory_use > 1 && base.memory_use <= factor) {
    result.possible = "the run would fit, which it does not now";
    return;
  }
  result.possible = policies.empty()
                        ? "the run recomputes nothing: no cheaper policy to make room for"
                        : "no cheaper recomputation would fit";
  for (std::size_t i = 0; i < policies.size(); ++i) {
    const ScalePoint& point = points[i];
    if (!point.is_valid() || point.memory_use > factor) {
      continue;
    }
    if (point.memory_use <= 1) {
      result.possible = fmt::format("recompute = \"{}\" fits already: {:+.1f} %", policies[i],
                                    100 * (point.step_time / base.step_time - 1));
      return;
    }
    result.step_time = point.step_time;
    result.change = point.step_time / base.step_time - 1;
    result.possible = fmt::format("recompute = \"{}\" would fit", policies[i]);
    return;
  }
}

}  // namespace

std::span<const ElasticityRow> elasticity_rows() { return kRows; }

Elasticities elasticities(Recompute recompute, std::size_t jobs, const PredictChanged& predict,
                          const WorkersProgress& progress) {
  const std::vector<std::string> policies = cheaper_than(recompute);
  std::vector<Trial> trials = {{}};
  for (const ElasticityRow& row : kRows) {
    trials.push_back({fmt::format("{}={}", row.what_if, row.amount), {}});
  }
  for (const std::string& policy : policies) {
    trials.push_back({"", {"training.recompute=" + policy}});
  }
  const std::vector<ScalePoint> points = predict_in_workers(
      trials.size(), jobs,
      [&](std::size_t i) { return predict(trials[i].sets, trials[i].what_if); }, progress);
  Elasticities all;
  all.base = points.front();
  if (!all.base.is_valid()) {
    return all;
  }
  for (std::size_t i = 0; i < kRows.size(); ++i) {
    all.rows.push_back(compare(kRows[i], all.base, points[i + 1]));
    if (kRows[i].what_if == kMemory && all.rows.back().is_valid()) {
      tell_memory(all.base, policies, {points.begin() + 1 + kRows.size(), points.end()},
                  factor_in(kRows[i].amount), all.rows.back());
    }
  }
  std::stable_sort(all.rows.begin(), all.rows.end(), [](const Elasticity& a, const Elasticity& b) {
    return std::pair(!a.is_valid(), a.change) < std::pair(!b.is_valid(), b.change);
  });
  return all;
}

std::string elasticity_text(const Elasticities& all) {
  const ScalePoint& base = all.base;
  if (!base.is_valid()) {
    return fmt::format("what to buy next: {} nodes cannot be simulated: {}\n", base.nodes,
                       base.refusal);
  }
  std::string text =
      fmt::format("what to buy next at {} nodes ({} GPUs, {:.4f} s a step), one at a time\n",
                  base.nodes, base.gpus, base.step_time.value);
  std::vector<std::string> idle;
  std::vector<std::string> missing;
  for (const Elasticity& row : all.rows) {
    if (!row.is_valid()) {
      missing.push_back(row.number);
    } else if (row.change < kGain) {
      text += fmt::format(
          "  {:<20} {:>+6.1f} %   {}\n", row.words, 100 * row.change,
          row.possible.empty() ? fmt::format("elasticity {:+.2f}", row.elasticity) : row.possible);
    } else if (!row.possible.empty()) {
      text += fmt::format("  {:<20} {:>6} %   {}\n", row.words, 0, row.possible);
    } else {
      idle.push_back(row.words);
    }
  }
  if (!idle.empty()) {
    text += fmt::format("  no gain: {}\n", fmt::join(idle, ", "));
  }
  return text + (missing.empty() ? "" : fmt::format("  not here: {}\n", fmt::join(missing, ", ")));
}

}  // namespace foretrain
