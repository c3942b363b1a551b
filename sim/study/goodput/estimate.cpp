// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/estimate.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "sim/core/error.hpp"
#include "sim/study/goodput/formulas.hpp"

namespace foretrain::goodput {
namespace {

// The value that a share of the sorted values does not exceed, between two of them linearly.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double mean_effective(Job job, Seconds interval, std::uint64_t seed, std::size_t runs) {
  job.checkpointing.interval = interval;
  double sum = 0;
  for (const Tally& tally : live_often(job, seed, runs)) {
    sum += tally.effective();
  }
  return sum / static_cast<double>(runs);
}

}  // namespace

double student_t(std::size_t degrees) {
  constexpr std::array<double, 4> kFew = {12.7062, 4.3027, 3.1824, 2.7764};
  if (degrees <= kFew.size()) {
    return kFew[degrees - 1];
  }
  const double n = static_cast<double>(degrees);
  constexpr double x = 1.959964;  // of the normal distribution
  const double x3 = x * x * x;
  const double x5 = x3 * x * x;
  const double x7 = x5 * x * x;
  return x + (x3 + x) / (4 * n) + (5 * x5 + 16 * x3 + 3 * x) / (96 * n * n) +
         (3 * x7 + 19 * x5 + 17 * x3 - 15 * x) / (384 * n * n * n);
}

Estimate estimate(std::vector<double> values) {
  FORETRAIN_ASSERT(!values.empty(), "an estimate needs values");
  std::sort(values.begin(), values.end());
  const double n = static_cast<double>(values.size());
  Estimate result;
  for (const double value : values) {
    result.mean += value / n;
  }
  double squares = 0;
  for (const double value : values) {
    squares += (value - result.mean) * (value - result.mean);
  }
  if (values.size() > 1) {
    result.half_width = student_t(values.size() - 1) * std::sqrt(squares / (n - 1) / n);
  }
  result.low = quantile(values, 0.05);
  result.high = quantile(values, 0.95);
  return result;
}

std::vector<Tally> live_often(const Job& job, std::uint64_t seed, std::size_t runs) {
  std::vector<Tally> tallies;
  tallies.reserve(runs);
  for (std::size_t run = 0; run < runs; ++run) {
    tallies.push_back(live(job, {seed, run}));
  }
  return tallies;
}

Estimate estimate_of(const std::vector<Tally>& tallies,
                     const std::function<double(const Tally&)>& number) {
  std::vector<double> values;
  values.reserve(tallies.size());
  std::transform(tallies.begin(), tallies.end(), std::back_inserter(values), number);
  return estimate(std::move(values));
}

Seconds between_failures(const Job& job) {
  Hertz rate;
  for (const Parts& parts : job.parts) {
    rate += rate_of(parts);
  }
  return rate > Hertz(0) ? Seconds(1 / rate.value) : kNever;
}

Seconds search_interval(const Job& job, std::uint64_t seed, std::size_t runs) {
  constexpr double kReach = 8;
  constexpr double kTolerance = 0.02;  // of the logarithm: 2 % of the interval
  const Seconds around = daly_interval(job.checkpointing.stall, between_failures(job));
  const auto at = [&](double x) { return around * std::exp(x); };
  const auto value = [&](double x) { return mean_effective(job, at(x), seed, runs); };
  const double golden = std::numbers::phi - 1;
  double low = -std::log(kReach);
  double high = std::log(kReach);
  double left = high - golden * (high - low);
  double right = low + golden * (high - low);
  double at_left = value(left);
  double at_right = value(right);
  while (high - low > kTolerance) {
    if (at_left >= at_right) {
      high = right;
      right = left;
      at_right = at_left;
      left = high - golden * (high - low);
      at_left = value(left);
    } else {
      low = left;
      left = right;
      at_left = at_right;
      right = low + golden * (high - low);
      at_right = value(right);
    }
  }
  return at((low + high) / 2);
}

}  // namespace foretrain::goodput
