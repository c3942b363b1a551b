// From the ends of the stages' slots to the end of the step: sums that are still under way, the
// norm that all stages wait for, the update.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sim/study/search/step_end.hpp"

namespace foretrain {

/// Gradients of one chunk that cannot be on their way before `ready`, and what summing them and all
/// that come after them in their stream takes.
struct LateGradients {
  Seconds ready;
  Seconds dense;
  Seconds experts;
};

/// A stage whose slots have ended, at the soonest.
struct EndedStage {
  std::size_t stage = 0;
  Seconds slots_end;
  const StageEnd* end = nullptr;
  Seconds last_dense;  ///< summing the gradients of the block that is ready last
  Seconds last_experts;
  std::vector<LateGradients> late;
};

/// The step's end, at the soonest, if these stages are some of it. Where stages end one by one
/// their sums and updates are part of their slots.
[[nodiscard]] Seconds finish(const Run& run, const DataPasses& passes, bool is_slanted,
                             const std::vector<EndedStage>& stages);

}  // namespace foretrain
