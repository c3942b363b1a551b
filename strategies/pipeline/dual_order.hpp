// The order that DualPipe and DualPipeV share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "strategies/pipeline/slot_writer.hpp"

namespace foretrain {

/// What a stage of either schedule knows of itself.
struct DualStage {
  std::int32_t depth = 1;          ///< stages from the end to where the two chunks meet
  std::int32_t distance = 0;       ///< of this stage from the end, from 0
  std::int32_t micro_batches = 0;  ///< through each chunk; REQUIRES: at least 2 x depth
  std::int32_t near = 0;           ///< the chunk that starts here first
  std::int32_t far = 1;
  std::array<std::int32_t, 2> first_micro_batch = {0, 0};  ///< by chunk
};

[[nodiscard]] std::vector<Slot> dual_order(const DualStage& stage);

}  // namespace foretrain
