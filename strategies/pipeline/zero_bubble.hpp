// The pattern of the handcrafted zero-bubble schedules (Qi et al. 2024, "Zero Bubble Pipeline
// Parallelism", section 2): a stage is some forwards ahead, then takes an input gradient, a weight
// gradient and a forward in turn, the weight gradients some micro-batches late.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

/// All slots of one stage. REQUIRES: `ahead` (forwards before the first backward) >= 1, `late` >=
/// 0.
[[nodiscard]] inline std::vector<Slot> split_backward_order(std::int32_t micro_batches,
                                                            std::int32_t ahead, std::int32_t late) {
  std::vector<Slot> slots;
  slots.reserve(3 * static_cast<std::size_t>(micro_batches));
  std::int32_t forward = 0;
  for (; forward < std::min(ahead, micro_batches); ++forward) {
    slots.push_back({SlotKind::forward, forward, 0});
  }
  std::int32_t weight = 0;
  for (std::int32_t backward = 0; backward < micro_batches; ++backward) {
    slots.push_back({SlotKind::input_gradient, backward, 0});
    if (backward >= late) {
      slots.push_back({SlotKind::weight_gradient, weight, 0});
      ++weight;
    }
    if (forward < micro_batches) {
      slots.push_back({SlotKind::forward, forward, 0});
      ++forward;
    }
  }
  for (; weight < micro_batches; ++weight) {
    slots.push_back({SlotKind::weight_gradient, weight, 0});
  }
  return slots;
}

}  // namespace foretrain
