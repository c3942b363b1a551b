// Interleaved 1F1B (Narayanan et al., SC'21, section 2.2.2): a stage holds v chunks of layers that
// are p stages apart; micro-batches go through in groups of p, one chunk after the other. Larger
// groups (Llama Team 2024, section 3.3.2) lie between this depth-first and a breadth-first order:
// more in flight, and the number of micro-batches need not be a multiple of p.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/interleaved_order.hpp"

namespace foretrain {
namespace {

std::string text(std::int32_t number) { return std::to_string(number); }

// A stage would wait for a chunk's input, which the last stage makes p - 1 passes later.
std::optional<std::string> refuse_group(const PipelineShape& shape) {
  const std::int32_t rest = shape.micro_batches % shape.micro_batch_group;
  if (shape.micro_batch_group < shape.stages) {
    return "micro_batch_group = " + text(shape.micro_batch_group) +
           " is less than pipeline = " + text(shape.stages) +
           ": a stage would wait for what it has just sent";
  }
  if (rest != 0 && rest < shape.stages) {
    return "with micro_batch_group = " + text(shape.micro_batch_group) + " the last " + text(rest) +
           " of the " + text(shape.micro_batches) +
           " micro-batches per step are a group of less than pipeline = " + text(shape.stages);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> refuse_uneven_interleaving(const PipelineShape& shape) {
  if (shape.micro_batch_group > 0) {
    return refuse_group(shape);
  }
  if (shape.micro_batches % shape.stages == 0) {
    return std::nullopt;
  }
  return "interleaving takes micro-batches in groups of pipeline = " + text(shape.stages) +
         ", but there are " + text(shape.micro_batches) + " micro-batches per step";
}

std::vector<Slot> interleaved_one_f_one_b(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t total = shape.micro_batches * shape.virtual_stages;
  // Stage s runs 2 (p - s - 1) + (v - 1) x group chunks ahead, as Megatron-LM's schedule does.
  const std::int32_t ahead =
      2 * (shape.stages - stage - 1) + (shape.virtual_stages - 1) * group_size(shape);
  const std::int32_t warm_up = std::min(ahead, total);
  std::vector<Slot> slots;
  slots.reserve(2 * static_cast<std::size_t>(total));
  std::int32_t forward = 0;
  for (; forward < warm_up; ++forward) {
    slots.push_back(interleaved_slot(shape, forward, SlotKind::forward));
  }
  for (std::int32_t backward = 0; backward < total; ++backward) {
    if (forward < total) {
      slots.push_back(interleaved_slot(shape, forward, SlotKind::forward));
      ++forward;
    }
    slots.push_back(interleaved_slot(shape, backward, SlotKind::backward));
  }
  return slots;
}

}  // namespace foretrain
