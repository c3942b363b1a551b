// ZB-1p over v chunks of layers per stage: the passes of interleaved 1F1B with split backwards, the
// weight gradients of stage s put off by s passes as in ZB-H1 (Qi et al. 2024, section 2.1). Every
// stage holds v p chunks, as the first stage of 1F1B; bubble (p - 1)(F + B - W) of a chunk's passes
// for W no longer than B.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/interleaved_order.hpp"

namespace foretrain {

std::vector<Slot> interleaved_zb(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t total = shape.micro_batches * shape.virtual_stages;
  const std::int32_t ahead =
      std::min(total, shape.stages - stage + (shape.virtual_stages - 1) * group_size(shape));
  std::vector<Slot> slots;
  slots.reserve(3 * static_cast<std::size_t>(total));
  std::int32_t forward = 0;
  for (; forward < ahead; ++forward) {
    slots.push_back(interleaved_slot(shape, forward, SlotKind::forward));
  }
  std::int32_t weight = 0;
  for (std::int32_t backward = 0; backward < total; ++backward) {
    slots.push_back(interleaved_slot(shape, backward, SlotKind::input_gradient));
    if (backward >= stage) {
      slots.push_back(interleaved_slot(shape, weight, SlotKind::weight_gradient));
      ++weight;
    }
    if (forward < total) {
      slots.push_back(interleaved_slot(shape, forward, SlotKind::forward));
      ++forward;
    }
  }
  for (; weight < total; ++weight) {
    slots.push_back(interleaved_slot(shape, weight, SlotKind::weight_gradient));
  }
  return slots;
}

}  // namespace foretrain
