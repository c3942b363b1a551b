// V-Half (Qi et al. 2024b, section 3.3): steps of 1 and 2 passes, so a chunk on its way there and a
// chunk on its way back are together held for half as long as the first stage of 1F1B holds one.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/v_block.hpp"

namespace foretrain {

std::vector<Slot> v_half(const PipelineShape& shape, std::int32_t stage) {
  return v_block_order(shape, stage, {1, 2, 1, 2});
}

}  // namespace foretrain
