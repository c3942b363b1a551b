// Error bars: what the errors of judged cases say about a prediction that nobody has measured yet.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/report/prediction.hpp"
#include "strategies/plan.hpp"
#include "validation/judge.hpp"

namespace foretrain::validation {

/// The errors (predicted / measured - 1) of one kind of run. Each source weighs the same, however
/// many runs it published; groups whose names agree up to the first dash are one source. `within`
/// counts the cases that fell between the quantiles of the other sources alone: each source was
/// held out once.
struct KindResiduals {
  std::string kind;
  std::size_t sources = 0;
  std::size_t cases = 0;
  double low = 0;   ///< quantile kOutside
  double high = 0;  ///< quantile 1 - kOutside
  std::size_t within = 0;
};

/// Share of the errors that lie outside an interval, on each side.
inline constexpr double kOutside = 0.05;
/// A kind of fewer sources takes the errors of all runs.
inline constexpr std::size_t kLeastSources = 3;
/// The kind under which the errors of all runs stand.
inline constexpr const char* kEveryKind = "all";

/// One for each kind with enough sources, by name, and one for all.
[[nodiscard]] std::vector<KindResiduals> residuals_of(const std::vector<Outcome>& outcomes);

/// The data file that simulate reads.
[[nodiscard]] std::string residuals_toml(const std::vector<KindResiduals>& residuals);
/// Reads it back. Throws ConfigError.
[[nodiscard]] std::vector<KindResiduals> load_residuals(config::Sources& sources,
                                                        const std::string& path);

/// The interval of a predicted step, from the errors of its kind; nothing without residuals.
[[nodiscard]] std::optional<Interval> interval_of(const Run& run, Seconds step,
                                                  const std::vector<KindResiduals>& residuals);

}  // namespace foretrain::validation
