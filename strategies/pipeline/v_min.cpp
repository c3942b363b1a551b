// V-Min (Qi et al. 2024b, section 3.3): steps of one pass, the least that a stage can hold: about a
// third of what the first stage of 1F1B does.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/v_block.hpp"

namespace foretrain {

std::vector<Slot> v_min(const PipelineShape& shape, std::int32_t stage) {
  return v_block_order(shape, stage, {1, 1, 1, 1});
}

}  // namespace foretrain
