// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/plan.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "strategies/lower.hpp"

namespace foretrain {
namespace {

// Sizes are asked for from those that would take at most so long; fewer GPUs than that are no plan.
constexpr double kLongestDays = 730;
// What a run reaches of its GPUs' peak, to find the first size; the simulator says it from there.
constexpr double kUsualUtilization = 0.4;
constexpr std::size_t kMostSizes = 16;

bool is_size(const Run& run, const PlanOptions& options, std::int64_t gpus) {
  const std::int64_t most = run.cluster.max_nodes;
  return gpus <= options.most_gpus && (most == 0 || gpus <= most * run.cluster.gpus_per_node);
}

// Node counts stay exact while they are few.
std::int64_t step_after(std::int64_t nodes, std::int64_t unit) {
  constexpr std::int64_t kExact = 16;
  return nodes < kExact * unit ? unit : nodes / (kExact * unit) * unit;
}

// Parts of a node, then whole nodes.
std::vector<std::int64_t> instance_sizes(const Run& run, const PlanOptions& options) {
  const std::int64_t per_node = run.cluster.gpus_per_node;
  const std::int64_t unit = run.cluster.node_unit();
  std::vector<std::int64_t> sizes;
  for (std::int64_t gpus = 1; unit == 1 && gpus < per_node; ++gpus) {
    if (per_node % gpus == 0) {
      sizes.push_back(gpus);
    }
  }
  for (std::int64_t nodes = unit; is_size(run, options, nodes * per_node);
       nodes += step_after(nodes, unit)) {
    sizes.push_back(nodes * per_node);
  }
  return sizes;
}

// The fewest GPUs on which some layout fits.
std::optional<PlanPoint> smallest(const Run& run, const PlanOptions& options,
                                  const LayoutFinders& find) {
  for (const std::int64_t gpus : instance_sizes(run, options)) {
    PlanPoint point = find.small(gpus);
    if (point.is_good()) {
      return point;
    }
  }
  return std::nullopt;
}

PlanRow row_of(const Run& run, const PlanOptions& options, PlanPoint point) {
  const double steps = options.tokens / run.tokens_per_step();
  PlanRow row;
  row.time = point.step_time * steps;
  row.low = point.low * steps;
  row.high = point.high * steps;
  row.bill = bill_of(options.economics, point.gpus, row.time, point.idle_share);
  row.point = std::move(point);
  return row;
}

double rate_per_gpu(const PlanRow& row) {
  return 1 / (row.point.step_time.value * static_cast<double>(row.point.gpus));
}

bool meets(const PlanRow& row, const PlanOptions& options) {
  return !options.deadline || row.time <= *options.deadline;
}
bool affords(const PlanRow& row, const PlanOptions& options) {
  return !options.budget || (row.bill.dollars && *row.bill.dollars <= *options.budget);
}

// Whether more sizes would tell more: past the knee, with the deadline met or out of reach.
bool is_covered(const Plan& plan, const PlanOptions& options) {
  if (plan.rows.size() >= kMostSizes) {
    return true;
  }
  if (plan.rows.size() < 2) {
    return false;
  }
  const PlanRow& last = plan.rows.back();
  const bool is_slower = last.time >= plan.rows[plan.rows.size() - 2].time;
  return is_slower || (plan.knee && meets(last, options));
}

void add_row(Plan& plan, PlanRow row, const PlanOptions& options) {
  plan.rows.push_back(std::move(row));
  const std::size_t index = plan.rows.size() - 1;
  PlanRow& added = plan.rows.back();
  double best = 0;  // a size on which the model hardly fits is no measure
  for (const PlanRow& each : plan.rows) {
    best = std::max(best, rate_per_gpu(each));
  }
  added.efficiency = rate_per_gpu(added) / best;
  if (!plan.knee && added.efficiency < options.threshold) {
    added.is_knee = true;
    plan.knee = index;
  }
  const auto hours = [&](std::size_t i) { return plan.rows[i].bill.gpu_hours; };
  if (!plan.cheapest || hours(index) < hours(*plan.cheapest)) {
    plan.cheapest = index;
  }
  if (!plan.fastest || added.time < plan.rows[*plan.fastest].time) {
    plan.fastest = index;
  }
}

// With a deadline the cheapest size that meets it; with a budget alone the fastest that it pays
// for; with neither the largest before the knee.
void choose(Plan& plan, const PlanOptions& options) {
  for (std::size_t i = 0; i < plan.rows.size(); ++i) {
    const PlanRow& row = plan.rows[i];
    if (!meets(row, options) || !affords(row, options)) {
      continue;
    }
    if (!options.deadline && !options.budget) {
      if (i <= *plan.fastest && (!plan.knee || i < *plan.knee)) {
        plan.choice = i;
      }
    } else if (!plan.choice) {
      plan.choice = i;
    } else {
      const PlanRow& best = plan.rows[*plan.choice];
      const bool is_better =
          options.deadline ? row.bill.gpu_hours < best.bill.gpu_hours : row.time < best.time;
      plan.choice = is_better ? i : *plan.choice;
    }
  }
  if (plan.rows.empty()) {
    plan.why = "no layout of this run fits on any size that was tried";
  } else if (!plan.choice) {
    plan.why = options.deadline && options.budget ? "no size meets the deadline within the budget"
               : options.deadline                 ? "no size meets the deadline"
                                                  : "no size stays within the budget";
  } else {
    plan.why = options.deadline && options.budget
                   ? "the cheapest size that meets the deadline, within the budget"
               : options.deadline ? "the cheapest size that meets the deadline"
               : options.budget   ? "the fastest size within the budget"
               : plan.knee        ? "the largest size before it stops paying"
                                  : "the fastest size that was tried; none is past the knee";
  }
}

// Whole nodes, doubling, from the first size that is no folly.
std::int64_t first_size(const Run& run, const PlanOptions& options, const Plan& plan) {
  const std::int64_t unit = run.cluster.node_unit() * run.cluster.gpus_per_node;
  const double peak = run.cluster.gpu.peak.at(run.training.precision).value.value;
  const double seconds =
      options.deadline ? 4 * std::max(options.deadline->value, 3600.0) : kLongestDays * 86400;
  const double wanted = plan.exact_flops / (seconds * peak * kUsualUtilization);
  std::int64_t gpus = unit;
  while (gpus < plan.smallest->gpus || static_cast<double>(2 * gpus) < wanted) {
    gpus *= 2;
  }
  return gpus;
}

}  // namespace

PlanPoint plan_point(const Prediction& prediction) {
  PlanPoint point;
  point.gpus = static_cast<std::int64_t>(prediction.num_gpus);
  point.step_time = prediction.step_time.seconds();
  point.low = prediction.interval ? prediction.interval->low : point.step_time;
  point.high = prediction.interval ? prediction.interval->high : point.step_time;
  point.utilization = prediction.model_flops_utilization;
  point.fits = prediction.fits();
  if (!prediction.memory.empty()) {
    point.memory_use = fullest_role(prediction.memory).used_share();
  }
  const Breakdown& parts = prediction.breakdown;
  std::tie(point.limit, point.limit_share) = largest_overhead(parts);
  point.idle_share =
      (parts.bubble.seconds() + parts.host.seconds()).value / parts.step.seconds().value;
  return point;
}

Plan plan(const Run& run, const PlanOptions& options, const LayoutFinders& find) {
  Plan result;
  result.six_pd = 6 * static_cast<double>(activated_parameters(run.model)) * options.tokens;
  result.exact_flops = model_flops(run).value / run.tokens_per_step() * options.tokens;
  result.smallest = smallest(run, options, find);
  std::string refusal;
  const auto add_size = [&](std::int64_t gpus) {
    PlanPoint point = find.fastest(gpus);
    const bool is_good = point.is_good();
    if (is_good) {
      add_row(result, row_of(run, options, std::move(point)), options);
    } else {
      refusal = point.refusal;
    }
    return is_good;
  };
  for (const std::int64_t gpus : options.sizes) {
    add_size(gpus);
  }
  if (options.sizes.empty() && result.smallest) {
    for (std::int64_t gpus = first_size(run, options, result);
         is_size(run, options, gpus) && !is_covered(result, options); gpus *= 2) {
      if (!add_size(gpus) && !result.rows.empty()) {
        break;  // the batch cannot be spread further
      }
    }
  }
  choose(result, options);
  if (result.rows.empty() && !refusal.empty()) {
    result.why += ": " + refusal;
  }
  return result;
}

}  // namespace foretrain
