// SPDX-License-Identifier: Apache-2.0
#include "validation/verdict.hpp"

#include <algorithm>

namespace foretrain::validation {
namespace {

constexpr std::size_t kLeastLayouts = 4;  // fewer say nothing about a ranking

struct Sweep {
  std::vector<double> measured;  // seconds per token
  std::vector<double> predicted;
};

std::vector<SweepVerdict> sweeps_of(const std::vector<Outcome>& outcomes) {
  std::map<std::pair<std::string, std::string>, Sweep> sweeps;
  for (const Outcome& outcome : outcomes) {
    if (outcome.time && !outcome.sweep.empty()) {
      Sweep& sweep = sweeps[{outcome.group, outcome.sweep}];
      sweep.measured.push_back(outcome.time->measured / outcome.tokens_per_step);
      sweep.predicted.push_back(outcome.time->predicted / outcome.tokens_per_step);
    }
  }
  std::vector<SweepVerdict> verdicts;
  for (const auto& [key, sweep] : sweeps) {
    if (sweep.measured.size() >= kLeastLayouts) {
      verdicts.push_back({key.first, key.second, sweep.measured.size(),
                          kendall_tau(sweep.measured, sweep.predicted),
                          regret(sweep.measured, sweep.predicted)});
    }
  }
  return verdicts;
}

void count_fit(const FitResult& fit, FitVerdict& verdict) {
  verdict.out_of_memory += fit.fits ? 0 : 1;
  if (fit.share > kSurelyFits && fit.share <= kSurelyFails) {
    ++verdict.uncertain;
  } else if ((fit.share <= kSurelyFits) == fit.fits) {
    ++verdict.right;
  } else {
    ++verdict.wrong;
  }
}

void rank(const std::vector<SweepVerdict>& sweeps, SourceVerdict& source) {
  double layouts = 0;
  for (const SweepVerdict& sweep : sweeps) {
    if ((source.group.empty() || sweep.group == source.group) && sweep.tau) {
      const auto weight = static_cast<double>(sweep.layouts);
      ++source.sweeps;
      layouts += weight;
      source.mean_tau += weight * *sweep.tau;
      source.mean_regret += weight * sweep.regret;
    }
  }
  if (layouts > 0) {
    source.mean_tau /= layouts;
    source.mean_regret /= layouts;
  }
}

// An empty group takes in every case.
SourceVerdict source_of(const std::string& group, const std::vector<Outcome>& outcomes,
                        const std::vector<SweepVerdict>& sweeps) {
  SourceVerdict source;
  source.group = group;
  std::vector<double> time;
  std::vector<double> naive;
  std::vector<double> allocator;
  std::vector<double> device;
  for (const Outcome& outcome : outcomes) {
    if (!group.empty() && outcome.group != group) {
      continue;
    }
    if (outcome.time) {
      time.push_back(outcome.time->error());
      naive.push_back(outcome.time->naive_error());
    }
    if (outcome.memory) {
      (outcome.memory->is_allocator ? allocator : device).push_back(outcome.memory->error());
    }
    if (outcome.fit) {
      count_fit(*outcome.fit, source.fit);
    }
  }
  source.time = summarize(time);
  source.naive = summarize(naive);
  source.allocator_memory = summarize(allocator);
  source.device_memory = summarize(device);
  rank(sweeps, source);
  return source;
}

}  // namespace

Verdict verdict_of(const std::vector<Outcome>& outcomes,
                   const std::map<std::string, std::vector<std::string>>& fitted) {
  Verdict verdict;
  verdict.sweeps = sweeps_of(outcomes);
  std::map<std::string, std::size_t> refusals;
  std::vector<std::string> groups;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.refusal.empty()) {
      ++refusals[outcome.group + ": " + outcome.refusal];
    } else if (std::find(groups.begin(), groups.end(), outcome.group) == groups.end()) {
      groups.push_back(outcome.group);
    }
  }
  for (const std::string& group : groups) {
    verdict.sources.push_back(source_of(group, outcomes, verdict.sweeps));
    if (const auto found = fitted.find(group); found != fitted.end()) {
      verdict.sources.back().fitted = found->second;
    }
  }
  verdict.all = source_of("", outcomes, verdict.sweeps);
  verdict.refusals.assign(refusals.begin(), refusals.end());
  std::stable_sort(verdict.refusals.begin(), verdict.refusals.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return verdict;
}

}  // namespace foretrain::validation
