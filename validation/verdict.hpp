// What the outcomes of many cases come to: errors by source, rankings of layouts, memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "validation/judge.hpp"
#include "validation/statistics.hpp"

namespace foretrain::validation {

/// Layouts of one model on one machine, ranked by time per token.
struct SweepVerdict {
  std::string group;
  std::string sweep;
  std::size_t layouts = 0;
  std::optional<double> tau;
  double regret = 0;
};

/// Runs of which it is known whether they fit, by what was predicted. Near the capacity the
/// prediction is "uncertain": the constant and the fragmentation of an allocator decide there.
struct FitVerdict {
  std::size_t right = 0;
  std::size_t wrong = 0;
  std::size_t uncertain = 0;
  std::size_t out_of_memory = 0;  ///< among all
  [[nodiscard]] std::size_t count() const { return right + wrong + uncertain; }
};
/// Shares of the capacity between which a prediction does not decide: of 422 layouts of a 13B model
/// on 80 GB, none below 0.8 and all above 1.1 ran out of memory in a prototype of this model.
inline constexpr double kSurelyFits = 0.8;
inline constexpr double kSurelyFails = 1.1;

/// One source, or all.
struct SourceVerdict {
  std::string group;
  ErrorSummary time;
  ErrorSummary naive;  ///< of "half of peak" on the same cases
  std::size_t sweeps = 0;
  double mean_tau = 0;  ///< over sweeps of four or more, weighted by layouts
  double mean_regret = 0;
  ErrorSummary allocator_memory;
  ErrorSummary device_memory;
  FitVerdict fit;
  std::vector<std::string> fitted;  ///< numbers of data files that were fitted on this source
};

struct Verdict {
  std::vector<SourceVerdict> sources;  ///< in the order of their first case
  SourceVerdict all;
  std::vector<SweepVerdict> sweeps;
  std::vector<std::pair<std::string, std::size_t>> refusals;  ///< reason and count, most first
};

/// `fitted` says for a source what was fitted on it.
[[nodiscard]] Verdict verdict_of(
    const std::vector<Outcome>& outcomes,
    const std::map<std::string, std::vector<std::string>>& fitted = {});

/// The report for people: sources, sweeps, memory, the `worst` cases of each source, and what could
/// not be expressed.
[[nodiscard]] std::string verdict_text(const std::vector<Outcome>& outcomes, const Verdict& verdict,
                                       std::size_t worst);
[[nodiscard]] std::string verdict_json(const std::vector<Outcome>& outcomes,
                                       const Verdict& verdict);
/// One line for each case.
[[nodiscard]] std::string outcomes_csv(const std::vector<Outcome>& outcomes);

}  // namespace foretrain::validation
