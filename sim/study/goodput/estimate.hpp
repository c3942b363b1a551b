// Means with confidence intervals from simulated runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "sim/study/goodput/life.hpp"

namespace foretrain::goodput {

struct Estimate {
  double mean = 0;
  double half_width = 0;  ///< of the mean's 95 % confidence interval, by Student's t
  double low = 0;         ///< one run in twenty is below
  double high = 0;        ///< one run in twenty is above
};

/// REQUIRES: `values` is not empty. A single value has no width.
[[nodiscard]] Estimate estimate(std::vector<double> values);

/// Student's t that |t| exceeds with probability 5 %. REQUIRES: degrees >= 1. Abramowitz and
/// Stegun, 26.7.5; the first four from the exact quantiles.
[[nodiscard]] double student_t(std::size_t degrees);

/// So many runs of a job, by seed. The i-th run draws the same failures whatever the job does with
/// them, so that two jobs differ by what they do.
[[nodiscard]] std::vector<Tally> live_often(const Job& job, std::uint64_t seed, std::size_t runs);

/// One number of every tally.
[[nodiscard]] Estimate estimate_of(const std::vector<Tally>& tallies,
                                   const std::function<double(const Tally&)>& number);

/// The interval of most useful work over wall time, by golden-section search over its logarithm
/// between an eighth and eight times Daly's, on the same failures throughout; as exact as the runs
/// tell intervals apart. REQUIRES: the job fails now and then, and checkpoints take time.
[[nodiscard]] Seconds search_interval(const Job& job, std::uint64_t seed, std::size_t runs);

/// Mean time between failures of the job, planned interruptions apart; kNever without failures.
[[nodiscard]] Seconds between_failures(const Job& job);

}  // namespace foretrain::goodput
