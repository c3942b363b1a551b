// The steps of resolve() one by one, for what tries many layouts of one run: files are loaded once,
// and every layout is checked as a run file's own is.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "strategies/plan.hpp"

namespace foretrain {

/// Loads what a run file names and checks nothing across fields. A mistake goes to `diagnostics`,
/// and the run is then of no use.
[[nodiscard]] Run assemble(const RunFile& file, config::Sources& sources,
                           const Catalogue& catalogue, const std::string& directory,
                           config::Diagnostics& diagnostics);

/// Checks a run across fields: its messages point at the places of `file`, of whose own layout
/// nothing else is read but a `data` that it states. REQUIRES: the run was assembled from the file.
void check(const RunFile& file, const Run& run, config::Diagnostics& diagnostics);

/// Looks up the GPUs and links of [variation] in the machine. REQUIRES: check() found nothing.
void place_variation(const RunFile& file, Run& run, config::Diagnostics& diagnostics);

}  // namespace foretrain
