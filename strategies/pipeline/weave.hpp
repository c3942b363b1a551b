// Two passes of one rank side by side: what one communicates travels beside the other's kernels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "strategies/body_writer.hpp"

namespace foretrain {

/// Writes two passes in turn, cut wherever the compute stream would wait: a collective there moves
/// to the stream `beside`, and its pass goes on when the other one has come to a cut as well. Other
/// streams get their ops in the order that comes of it, so that none stands behind what waits for
/// it. Passes of unequal numbers of pieces keep pace. Kernels of the two do not run at once.
void weave(std::vector<PlacedOp> first, std::vector<PlacedOp> second, StreamIndex beside,
           BodyWriter& writer);

}  // namespace foretrain
