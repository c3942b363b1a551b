// SPDX-License-Identifier: Apache-2.0
#include "validation/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

int sign(double value) { return value > 0 ? 1 : (value < 0 ? -1 : 0); }

}  // namespace

double quantile(std::vector<double> values, double fraction) {
  FORETRAIN_ASSERT(!values.empty(), "a quantile of no values");
  std::sort(values.begin(), values.end());
  const double place = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

double weighted_quantile(const std::vector<double>& values, const std::vector<double>& weights,
                         double fraction) {
  FORETRAIN_ASSERT(!values.empty() && values.size() == weights.size(),
                   "a weighted quantile needs a weight for each of its values");
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
  double below = 0;
  for (const std::size_t i : order) {
    below += weights[i];
    if (below >= fraction * all) {
      return values[i];
    }
  }
  return values[order.back()];
}

ErrorSummary summarize(const std::vector<double>& errors) {
  ErrorSummary summary;
  if (errors.empty()) {
    return summary;
  }
  std::vector<double> absolute;
  for (const double error : errors) {
    absolute.push_back(std::abs(error));
    if (std::abs(error) > std::abs(summary.worst)) {
      summary.worst = error;
    }
  }
  summary.count = errors.size();
  summary.mean_absolute = mean(absolute);
  summary.median_absolute = quantile(absolute, 0.5);
  summary.p90_absolute = quantile(absolute, 0.9);
  summary.bias = mean(errors);
  return summary;
}

std::optional<double> kendall_tau(const std::vector<double>& first,
                                  const std::vector<double>& second) {
  FORETRAIN_ASSERT(first.size() == second.size(), "a rank correlation of lists unlike in length");
  double agreement = 0;
  double first_ordered = 0;
  double second_ordered = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    for (std::size_t j = i + 1; j < first.size(); ++j) {
      const int a = sign(first[i] - first[j]);
      const int b = sign(second[i] - second[j]);
      agreement += a * b;
      first_ordered += a * a;
      second_ordered += b * b;
    }
  }
  if (first_ordered == 0 || second_ordered == 0) {
    return std::nullopt;
  }
  return agreement / std::sqrt(first_ordered * second_ordered);
}

double regret(const std::vector<double>& measured, const std::vector<double>& predicted) {
  FORETRAIN_ASSERT(!measured.empty() && measured.size() == predicted.size(),
                   "a regret needs a prediction for each measurement");
  const auto chosen = std::min_element(predicted.begin(), predicted.end()) - predicted.begin();
  const double best = *std::min_element(measured.begin(), measured.end());
  return measured[static_cast<std::size_t>(chosen)] / best - 1;
}

}  // namespace foretrain::validation
