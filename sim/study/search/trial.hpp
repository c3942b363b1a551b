// One layout simulated in a process of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/study/search/search.hpp"

namespace foretrain {

/// Simulates these layouts, options.jobs at a time; in their order. A layout that the simulator
/// refuses, or a process that dies, leaves a refusal.
[[nodiscard]] std::vector<LayoutOutcome> simulate_all(const SearchSpace& space,
                                                      const SearchOptions& options,
                                                      const std::vector<LayoutChoice>& layouts);

}  // namespace foretrain
