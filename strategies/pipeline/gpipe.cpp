// GPipe (Huang et al. 2019): all forwards, then all backwards, last micro-batch first, so that the
// activations that were made last are used first.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

std::vector<Slot> gpipe(const PipelineShape& shape, std::int32_t) {
  std::vector<Slot> slots;
  slots.reserve(2 * static_cast<std::size_t>(shape.micro_batches));
  for (std::int32_t micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
    slots.push_back({SlotKind::forward, micro_batch, 0});
  }
  for (std::int32_t micro_batch = shape.micro_batches - 1; micro_batch >= 0; --micro_batch) {
    slots.push_back({SlotKind::backward, micro_batch, 0});
  }
  return slots;
}

}  // namespace foretrain
