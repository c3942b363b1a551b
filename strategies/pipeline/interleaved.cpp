// Interleaved 1F1B (Narayanan et al., SC'21, section 2.2.2): a stage holds v chunks of layers that
// are p stages apart; micro-batches go through in groups of p, one chunk after the other.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {
namespace {

// The k-th forward of every stage; the k-th backward is the same with the chunks mirrored.
Slot kth(const PipelineShape& shape, std::int32_t k, SlotKind kind) {
  const std::int32_t group = shape.stages * shape.virtual_stages;
  const std::int32_t chunk = k % group / shape.stages;
  return {kind, k / group * shape.stages + k % shape.stages,
          kind == SlotKind::forward ? chunk : shape.virtual_stages - 1 - chunk};
}

}  // namespace

std::optional<std::string> refuse_uneven_interleaving(const PipelineShape& shape) {
  if (shape.micro_batches % shape.stages == 0) {
    return std::nullopt;
  }
  return "interleaving takes micro-batches in groups of pipeline = " +
         std::to_string(shape.stages) + ", but there are " + std::to_string(shape.micro_batches) +
         " micro-batches per step";
}

std::vector<Slot> interleaved_one_f_one_b(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t total = shape.micro_batches * shape.virtual_stages;
  // Stage s runs 2 (p - s - 1) + (v - 1) p chunks ahead, as Megatron-LM's schedule does.
  const std::int32_t ahead =
      2 * (shape.stages - stage - 1) + (shape.virtual_stages - 1) * shape.stages;
  const std::int32_t warm_up = std::min(ahead, total);
  std::vector<Slot> slots;
  std::int32_t forward = 0;
  for (; forward < warm_up; ++forward) {
    slots.push_back(kth(shape, forward, SlotKind::forward));
  }
  for (std::int32_t backward = 0; backward < total; ++backward) {
    if (forward < total) {
      slots.push_back(kth(shape, forward, SlotKind::forward));
      ++forward;
    }
    slots.push_back(kth(shape, backward, SlotKind::backward));
  }
  return slots;
}

}  // namespace foretrain
