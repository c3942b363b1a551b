// Reads the run files that benchmarks simulate.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sim/study/search/space.hpp"
#include "strategies/plan.hpp"

namespace foretrain::bench {

/// Where the shipped models, platforms and stacks are.
[[nodiscard]] Catalogue catalogue();
/// The run.toml of an example.
[[nodiscard]] Run load_example(const std::string& example);
/// A file of tests/bench/runs, without its ending.
[[nodiscard]] Run load_run(const std::string& name);
/// The layouts of such a file's run.
[[nodiscard]] SearchSpace load_space(config::Sources& sources, const std::string& name);

}  // namespace foretrain::bench
