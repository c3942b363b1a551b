// What a step comes to in the terms of the objective, and the least that it can come to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/study/search/bounds.hpp"
#include "sim/study/search/search.hpp"

namespace foretrain {

/// Throws ConfigError when the objective needs a price or a power that is not there.
void check_objective(const SearchOptions& options);

[[nodiscard]] double value_of(const SearchOptions& options, std::int64_t gpus,
                              const LayoutOutcome& outcome);
[[nodiscard]] double least_value(const SearchOptions& options, std::int64_t gpus,
                                 const LayoutBound& bound);
/// Money of one step. REQUIRES: options.price.
[[nodiscard]] double cost_of(const SearchOptions& options, std::int64_t gpus, Seconds step);

}  // namespace foretrain
