// ZB-V (Qi et al. 2024, section 6): two chunks per stage, there and back, so that the first stage
// also ends a micro-batch and the peak memory of all stages is that of 1F1B's first. This is the
// order for passes that take alike, without bubble from 2 p - 1 micro-batches on; for W <= F <= B
// the bubble is 2 (p - 1)(B - W) of a chunk's passes. As with ZB-H2, stage s ends a step s passes
// after the first one.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/pipeline/slot_writer.hpp"

namespace foretrain {
namespace {

void input_and_weight_gradient(SlotWriter& writer, std::int32_t chunk) {
  writer.input_gradient(chunk);
  writer.weight_gradient();
}

// The whole order for `count` micro-batches. REQUIRES: count >= 2 p - 1.
std::vector<Slot> whole_order(std::int32_t stages, std::int32_t stage, std::int32_t count) {
  SlotWriter writer;
  for (std::int32_t i = 0; i < 2 * (stages - stage) - 1; ++i) {
    writer.forward(0);
  }
  for (std::int32_t i = 0; i < stage; ++i) {
    writer.forward(1);
    writer.forward(0);
  }
  for (std::int32_t i = 0; i < stages - stage; ++i) {
    writer.forward(1);
    input_and_weight_gradient(writer, 1);
  }
  for (std::int32_t done = stages; done < count; ++done) {
    if (done + stages - stage - 1 < count) {
      writer.forward(0);
    }
    input_and_weight_gradient(writer, 0);
    writer.forward(1);
    input_and_weight_gradient(writer, 1);
  }
  for (std::int32_t i = 0; i < stage; ++i) {
    writer.input_gradient(0);
    writer.input_gradient(1);
  }
  for (std::int32_t i = 0; i < stages - stage; ++i) {
    input_and_weight_gradient(writer, 0);
  }
  while (writer.has_weight_gradients()) {
    writer.weight_gradient();
  }
  return writer.take();
}

}  // namespace

std::vector<Slot> zb_v(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t count = std::max(shape.micro_batches, 2 * shape.stages - 1);
  std::vector<Slot> slots = whole_order(shape.stages, stage, count);
  std::erase_if(slots, [&](const Slot& slot) { return slot.micro_batch >= shape.micro_batches; });
  // The weight gradients after the last input gradient; at most s of them are left to the step
  // after.
  const auto last = std::find_if(slots.rbegin(), slots.rend(), [](const Slot& slot) {
    return slot.kind != SlotKind::weight_gradient;
  });
  const auto trailing = static_cast<std::int32_t>(last - slots.rbegin());
  std::rotate(slots.begin(), slots.end() - std::min(stage, trailing), slots.end());
  return slots;
}

}  // namespace foretrain
