// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/goodput.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/error.hpp"
#include "sim/study/goodput/formulas.hpp"

namespace foretrain::goodput {
namespace {

constexpr double kSecondsPerHour = 3600;
constexpr double kSecondsPerDay = 86400;
constexpr std::size_t kSearchRuns = 50;

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t count_of(PartKind kind, const Reliability& reliability, const Size& size) {
  switch (kind) {
    case PartKind::gpu:
    case PartKind::software:
      return size.gpus;
    case PartKind::node:
      return size.nodes;
    case PartKind::network_switch:
      return divided_up(size.nodes, std::max<std::int64_t>(1, reliability.nodes_per_switch));
    case PartKind::link:
      return size.nodes * size.nics_per_node;
  }
  return 0;
}

std::int64_t nodes_lost(PartKind kind, const Reliability& reliability) {
  if (kind == PartKind::software) {
    return 0;
  }
  return kind == PartKind::network_switch ? reliability.nodes_per_switch : 1;
}

// All kinds, in their order; those that never fail have no parts.
std::vector<Parts> parts_of(const Reliability& reliability, const Size& size) {
  std::vector<Parts> all;
  for (std::size_t i = 0; i < kNumPartKinds; ++i) {
    const auto kind = static_cast<PartKind>(i);
    const PartFailures& said = reliability.of(kind);
    Parts& parts = all.emplace_back();
    parts.nodes_lost = nodes_lost(kind, reliability);
    parts.repair = said.repair.value_or(reliability.repair).value;
    if (said.detection) {
      parts.detection = said.detection->value;
    }
    if (said.mean_time) {
      parts.count = count_of(kind, reliability, size);
      parts.mean_time = said.mean_time->value;
      parts.shape = said.shape.value;
      parts.age = said.age;
    }
  }
  return all;
}

Checkpointing checkpointing_of(const CheckpointKeys& keys, const Size& size, Seconds between) {
  Checkpointing plan;
  plan.write = size.checkpoint / keys.write.at(size.nodes);
  plan.stall = keys.is_asynchronous ? plan.write * keys.blocking.value : plan.write;
  if (keys.rule == IntervalRule::given) {
    plan.interval = keys.interval;
  } else if (between < kNever) {
    // A checkpoint cannot start before the last one is written: the shortest interval worth having.
    const Seconds optimum = keys.rule == IntervalRule::young ? young_interval(plan.stall, between)
                                                             : daly_interval(plan.stall, between);
    plan.interval = std::max(optimum, plan.write);
  }
  return plan;
}

// On average over the failures.
Seconds mean_recovery(const Job& job, Seconds between) {
  Seconds recovery = job.restart;
  for (const Parts& parts : job.parts) {
    const double share = rate_of(parts).value * between.value;
    recovery += share * parts.detection.value_or(job.detection);
    recovery += share * (parts.nodes_lost > 0 ? job.swap : Seconds(0));
  }
  return recovery;
}

std::optional<ClosedForms> closed_forms(const Job& job, Seconds between) {
  if (between == kNever || job.checkpointing.interval == kNever) {
    return std::nullopt;
  }
  ClosedForms closed;
  closed.recovery = mean_recovery(job, between);
  closed.young = young_interval(job.checkpointing.stall, between);
  closed.daly = daly_interval(job.checkpointing.stall, between);
  const Renewal renewal{job.checkpointing.interval, job.checkpointing.stall, closed.recovery,
                        between};
  closed.exact = daly_efficiency(renewal);
  closed.kokolis = kokolis_ettr(renewal);
  return closed;
}

void fill_estimates(const std::vector<Tally>& tallies, Outcome& outcome) {
  outcome.effective = estimate_of(tallies, [](const Tally& tally) { return tally.effective(); });
  for (std::size_t i = 0; i < kNumLosses; ++i) {
    outcome.lost[i] =
        estimate_of(tallies, [i](const Tally& tally) { return tally.lost[i] / tally.wall; });
  }
  outcome.failures = estimate_of(
      tallies, [](const Tally& tally) { return static_cast<double>(tally.num_failures()); });
  outcome.planned =
      estimate_of(tallies, [](const Tally& tally) { return static_cast<double>(tally.planned); });
  outcome.wall = estimate_of(tallies, [](const Tally& tally) { return tally.wall.value; });
  const double per_day =
      outcome.size.tokens_per_step / outcome.size.step_time.value * kSecondsPerDay;
  outcome.tokens =
      estimate_of(tallies, [per_day](const Tally& tally) { return tally.effective() * per_day; });
  for (const Tally& tally : tallies) {
    for (std::size_t i = 0; i < kNumPartKinds; ++i) {
      outcome.failures_by_kind[i] +=
          static_cast<double>(tally.failures[i]) / static_cast<double>(tallies.size());
    }
    outcome.unfinished += (tally.is_finished ? 0.0 : 1.0) / static_cast<double>(tallies.size());
  }
}

}  // namespace

std::int64_t shrink_unit(std::int64_t gpus_per_replica, std::int64_t gpus_per_node) {
  return std::lcm(gpus_per_replica, gpus_per_node) / gpus_per_node;
}

Job job_of(const Reliability& reliability, const Size& size, std::optional<double> tokens) {
  FORETRAIN_ASSERT(reliability.duration || tokens, "a run without an end");
  Job job;
  job.parts = parts_of(reliability, size);
  job.nodes = size.nodes;
  job.spares = reliability.spares.value_or(static_cast<std::int64_t>(
      std::ceil(reliability.spare_share.value * static_cast<double>(size.nodes))));
  if (reliability.duration) {
    job.duration = *reliability.duration;
  } else {
    job.work = size.step_time * (*tokens / size.tokens_per_step);
  }
  job.detection = reliability.detection.value;
  job.swap = reliability.swap.value;
  const CheckpointKeys& checkpoint = reliability.checkpoint;
  const StorageRate& read = checkpoint.read.is_given() ? checkpoint.read : checkpoint.write;
  job.restart = reliability.restart.value + size.checkpoint / read.at(size.nodes);
  job.checkpointing = checkpointing_of(checkpoint, size, between_failures(job));
  job.shrink_unit = size.shrink_unit;
  job.shrunk_rates = size.shrunk_rates;
  if (reliability.stragglers) {
    const StragglerKeys& keys = *reliability.stragglers;
    job.stragglers = {keys.mean_time.value / static_cast<double>(size.nodes), keys.duration.value,
                      keys.slowdown.value};
  }
  if (reliability.maintenance) {
    job.maintenance = {reliability.maintenance->interval.value,
                       reliability.maintenance->duration.value};
  }
  return job;
}

Outcome goodput(const Reliability& reliability, const Size& size, std::optional<double> tokens,
                const MonteCarlo& monte_carlo) {
  Outcome outcome;
  outcome.size = size;
  outcome.job = job_of(reliability, size, tokens);
  outcome.rule = reliability.checkpoint.rule;
  outcome.monte_carlo = monte_carlo;
  outcome.between_failures = between_failures(outcome.job);
  Checkpointing& plan = outcome.job.checkpointing;
  if (outcome.rule == IntervalRule::search && outcome.between_failures < kNever &&
      plan.stall > Seconds(0)) {
    plan.interval =
        search_interval(outcome.job, monte_carlo.seed, std::min(kSearchRuns, monte_carlo.runs));
  }
  if (plan.interval < kNever) {
    outcome.interval = plan.interval;
  }
  outcome.closed = closed_forms(outcome.job, outcome.between_failures);
  fill_estimates(live_often(outcome.job, monte_carlo.seed, monte_carlo.runs), outcome);

  const double per_day = outcome.tokens.mean;
  if (tokens) {
    outcome.to_finish = outcome.job.duration < kNever ? Seconds(*tokens / per_day * kSecondsPerDay)
                                                      : Seconds(outcome.wall.mean);
  }
  const double seconds = outcome.to_finish.value_or(Seconds(outcome.wall.mean)).value;
  const double whole = static_cast<double>(outcome.job.nodes + outcome.job.spares) /
                       static_cast<double>(outcome.job.nodes);
  outcome.gpu_hours = seconds / kSecondsPerHour * static_cast<double>(size.gpus) * whole;
  if (reliability.price) {
    outcome.dollars = outcome.gpu_hours * *reliability.price;
  }
  return outcome;
}

}  // namespace foretrain::goodput
