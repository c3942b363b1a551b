// Predicted step times of run files, each simulated in a process of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "strategies/plan.hpp"

namespace foretrain::live {

/// A run file and assignments to it, as for --set.
struct RunToPredict {
  std::string path;
  std::vector<std::string> sets;
};

/// The step time of each, in their order. Throws ConfigError for the first that cannot be
/// simulated.
[[nodiscard]] std::vector<Seconds> predict(const std::vector<RunToPredict>& runs,
                                           const Catalogue& catalogue);

}  // namespace foretrain::live
