// DualPipe (DeepSeek-AI 2024, section 3.2.1): half of the micro-batches start at the first stage,
// half at the last, so every stage holds two chunks, s and p - 1 - s, and two stages hold each.
// Bubble (p / 2 - 1)(F&B + B - 3 W), F&B a forward beside a backward and B a whole backward, and p
// + 1 micro-batches in flight.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/pipeline/dual_order.hpp"

namespace foretrain {

std::optional<std::string> refuse_uneven_dual_pipe(const PipelineShape& shape) {
  if (auto reason = refuse_other_than_two_chunks(shape)) {
    return reason;
  }
  if (shape.stages % 2 != 0) {
    return "DualPipe starts micro-batches at both ends of an even number of stages, but pipeline "
           "= " +
           std::to_string(shape.stages);
  }
  if (shape.micro_batches % 2 != 0 || shape.micro_batches < 2 * shape.stages) {
    return "DualPipe needs an even number of micro-batches, at least 2 x pipeline = " +
           std::to_string(2 * shape.stages) + ", but there are " +
           std::to_string(shape.micro_batches) + " per step";
  }
  return std::nullopt;
}

std::vector<Slot> dual_pipe(const PipelineShape& shape, std::int32_t stage) {
  const std::int32_t half = shape.micro_batches / 2;
  const bool is_upper = stage >= shape.stages / 2;
  DualStage dual;
  dual.depth = shape.stages / 2;
  dual.distance = std::min(stage, shape.stages - 1 - stage);
  dual.micro_batches = half;
  dual.near = is_upper ? 1 : 0;
  dual.far = is_upper ? 0 : 1;
  dual.first_micro_batch = {0, half};
  return dual_order(dual);
}

}  // namespace foretrain
