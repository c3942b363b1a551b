// What would make a run fit: changes of its keys, smallest first, each tried out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/cli/cli.hpp"

namespace foretrain::cli {

/// Sentences for a prediction's notes: changes of one key that are enough, each with the peak that
/// it leaves; where none is, the fewest that are; or that none were found. Every one of them was
/// resolved and simulated. REQUIRES: the run as it is does not fit.
[[nodiscard]] std::vector<std::string> changes_that_fit(const RunOptions& options, const Run& run);

}  // namespace foretrain::cli
