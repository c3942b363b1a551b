// DualPipeV (the open repository of DualPipe, after Qi and others' "cut in half"): DualPipe folded
// in the middle, so that one copy of the model does, two chunks to a stage. Of 2 p chunks bubble (p
// - 1)(F&B + B - 3 W) of a chunk's passes, and 2 p + 1 chunks in flight.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/dual_order.hpp"

namespace foretrain {

std::optional<std::string> refuse_short_dual_pipe_v(const PipelineShape& shape) {
  if (auto reason = refuse_other_than_two_chunks(shape)) {
    return reason;
  }
  if (shape.micro_batches < 2 * shape.stages) {
    return "DualPipeV needs at least 2 x pipeline = " + std::to_string(2 * shape.stages) +
           " micro-batches, but there are " + std::to_string(shape.micro_batches) + " per step";
  }
  return std::nullopt;
}

std::vector<Slot> dual_pipe_v(const PipelineShape& shape, std::int32_t stage) {
  DualStage dual;
  dual.depth = shape.stages;
  dual.distance = stage;
  dual.micro_batches = shape.micro_batches;
  return dual_order(dual);
}

}  // namespace foretrain
