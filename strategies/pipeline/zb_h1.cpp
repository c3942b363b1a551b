// ZB-H1, the handcrafted form of ZB-1p (Qi et al. 2024, section 2.1): 1F1B whose stage s is s
// weight gradients late, so that every stage holds p micro-batches, as the first stage of 1F1B
// does. The last stage passes p - 1 gradients on before their weight gradients: bubble (p - 1)(F +
// B - W) for m >= p and W no longer than B.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/zero_bubble.hpp"

namespace foretrain {

std::vector<Slot> zb_h1(const PipelineShape& shape, std::int32_t stage) {
  return split_backward_order(shape.micro_batches, shape.stages - stage, stage);
}

}  // namespace foretrain
