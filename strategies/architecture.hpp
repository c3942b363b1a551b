// Checks of a run against the blocks that its model is made of.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/plan.hpp"

namespace foretrain {

/// Tensor parallelism against the sizes of every kind of layer, context parallelism against what
/// passes along the sequence, and the sequence against the images that it holds. The sizes of most
/// models (heads, kv_heads, ffn) are checked elsewhere.
void check_architecture(const RunFile& file, const Run& run, config::Diagnostics& diagnostics);

}  // namespace foretrain
