// ZB-H2, the handcrafted form of ZB-2p (Qi et al. 2024, section 2.2): 2 (p - s) - 1 forwards ahead
// fill the wait for the first backward, 2 s weight gradients are late, and every stage holds 2 p -
// 1 micro-batches. Stage s ends its step s slots after the first one, and starts the next as much
// later: bubble (p - 1)(F + B - 2 W) for m >= 2 p - 1 and W no longer than F and B.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/zero_bubble.hpp"

namespace foretrain {

std::vector<Slot> zb_2p(const PipelineShape& shape, std::int32_t stage) {
  std::vector<Slot> slots =
      split_backward_order(shape.micro_batches, 2 * (shape.stages - stage) - 1, 2 * stage);
  // All slots after the last input gradient are weight gradients; stage s has at least
  // min(2 s, m) of them.
  const std::int32_t of_step_before = std::min(stage, shape.micro_batches);
  std::rotate(slots.begin(), slots.end() - of_step_before, slots.end());
  return slots;
}

}  // namespace foretrain
