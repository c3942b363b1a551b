// From a run with a [generation] table to the memory that generating takes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/report/generation.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// REQUIRES: the run has a generation table.
[[nodiscard]] GenerationMemory generation_memory(const Run& run);

}  // namespace foretrain
