// What a list of errors or rankings comes to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace foretrain::validation {

/// The value below which a share `fraction` of the values lies, interpolated linearly between
/// neighbours (0: the least, 1: the largest). REQUIRES: values is not empty.
[[nodiscard]] double quantile(std::vector<double> values, double fraction);

/// The same where each value has a weight of its own: the value at which a share `fraction` of the
/// weight lies below. REQUIRES: not empty, same length, positive weights.
[[nodiscard]] double weighted_quantile(const std::vector<double>& values,
                                       const std::vector<double>& weights, double fraction);

/// Relative errors, predicted / measured - 1, in one view.
struct ErrorSummary {
  std::size_t count = 0;
  double mean_absolute = 0;    ///< MAPE, as a fraction
  double median_absolute = 0;  ///< of the absolute errors
  double p90_absolute = 0;
  double bias = 0;   ///< mean of the errors with their signs
  double worst = 0;  ///< the error of largest magnitude, with its sign
};
/// All zero for no errors.
[[nodiscard]] ErrorSummary summarize(const std::vector<double>& errors);

/// Kendall's tau-b of two equally long lists: 1 for the same order, -1 for the reverse; ties count
/// in neither list's favour. Nothing when one of the lists has no two different values.
[[nodiscard]] std::optional<double> kendall_tau(const std::vector<double>& first,
                                                const std::vector<double>& second);

/// How much slower, as a fraction, the layout with the least predicted cost really is than the
/// best one measured; the first of equals is chosen. REQUIRES: same length, not empty, positive.
[[nodiscard]] double regret(const std::vector<double>& measured,
                            const std::vector<double>& predicted);

}  // namespace foretrain::validation
