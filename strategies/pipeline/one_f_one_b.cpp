// 1F1B (PipeDream-Flush; Narayanan et al., SC'21, section 2.2.1): stage s warms up with p - s - 1
// forwards, then alternates, so that at most p - s micro-batches are in flight.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

std::vector<Slot> one_f_one_b(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t warm_up = std::min(shape.stages - stage - 1, shape.micro_batches);
  std::vector<Slot> slots;
  std::int32_t forward = 0;
  for (; forward < warm_up; ++forward) {
    slots.push_back({SlotKind::forward, forward, 0});
  }
  for (std::int32_t backward = 0; backward < shape.micro_batches; ++backward) {
    if (forward < shape.micro_batches) {
      slots.push_back({SlotKind::forward, forward, 0});
      ++forward;
    }
    slots.push_back({SlotKind::backward, backward, 0});
  }
  return slots;
}

}  // namespace foretrain
