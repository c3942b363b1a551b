// Schedules over two chunks per stage, there and back, made of one block that repeats.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

/// Passes from one stage to the next that a micro-batch waits in a block, on each of its four ways
/// along the stages.
struct BlockSteps {
  std::int32_t forward_there = 1;
  std::int32_t forward_back = 1;
  std::int32_t backward_there = 1;  ///< chunk 1, from the first stage to the last
  std::int32_t backward_back = 1;
};

/// All slots of one stage: a block per micro-batch, six passes after one another.
/// REQUIRES: two chunks; some block with these steps has no two passes of a stage at one time.
[[nodiscard]] std::vector<Slot> v_block_order(const PipelineShape& shape, std::int32_t stage,
                                              const BlockSteps& steps);

}  // namespace foretrain
