// Runs whose layout is open, for the commands that choose one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/cli/cli.hpp"
#include "sim/study/economics.hpp"
#include "sim/study/plan/find_layout.hpp"
#include "sim/study/plan/mixed.hpp"

namespace foretrain::cli {

/// The same run without its size, [parallel] and what was measured of it.
[[nodiscard]] RunOptions without_layout(RunOptions options);

/// What stays the same whatever the layout; the smallest size says it, or the platform's own where
/// that has every kind of node. Throws ConfigError.
void load_open(const RunOptions& open, LoadedRun& loaded);

/// Of a run that load_open() loaded.
[[nodiscard]] OpenRun open_run_of(const LoadedRun& loaded);

/// A search in `jobs` processes whose last word is the simulation of the run file with error bars.
/// REQUIRES: `open` and the console outlive it.
[[nodiscard]] FindOptions find_options(const RunOptions& open, std::size_t jobs, Console& console);

/// Which of so many unlike nodes to use; nothing where nodes are alike.
[[nodiscard]] std::vector<NodeChoice> choose_nodes(const RunOptions& open, std::int64_t nodes,
                                                   const FindOptions& how,
                                                   const EconomicsChoice& economics = {});

}  // namespace foretrain::cli
