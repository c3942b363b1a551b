// Breadth-first (Lamy-Poirier 2023, section 4): all micro-batches go forward through a chunk before
// the stage turns to the next one, then backward likewise, last chunk first. The gradients of a
// chunk are final a v-th of the step apart, so that their sums over replicas have time to hide; all
// m micro-batches are in flight.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

std::vector<Slot> breadth_first(const PipelineShape& shape, std::int32_t) {
  std::vector<Slot> slots;
  slots.reserve(2 * static_cast<std::size_t>(shape.micro_batches) *
                static_cast<std::size_t>(shape.virtual_stages));
  for (std::int32_t chunk = 0; chunk < shape.virtual_stages; ++chunk) {
    for (std::int32_t micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
      slots.push_back({SlotKind::forward, micro_batch, chunk});
    }
  }
  for (std::int32_t chunk = shape.virtual_stages - 1; chunk >= 0; --chunk) {
    for (std::int32_t micro_batch = 0; micro_batch < shape.micro_batches; ++micro_batch) {
      slots.push_back({SlotKind::backward, micro_batch, chunk});
    }
  }
  return slots;
}

}  // namespace foretrain
