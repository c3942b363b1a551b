// What a point of a sweep is to the command line: the run file with more --set.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/cli/cli.hpp"
#include "sim/study/sweep/grid.hpp"
#include "sim/study/sweep/sweep.hpp"

namespace foretrain::cli {

/// Loads the run that a point is, or says why it is none.
[[nodiscard]] sweep::Prepared prepare_point(const RunOptions& options,
                                            const std::vector<sweep::Assignment>& assignments);

/// Throws ConfigError for mistakes that have nothing to do with the values: in the run file, or a
/// varied key that there is not. A look at the first points has to do.
void check_sweep(const RunOptions& options, const sweep::Grid& grid);

}  // namespace foretrain::cli
