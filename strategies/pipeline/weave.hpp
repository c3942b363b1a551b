// Two passes of one rank side by side: what one communicates travels beside the other's kernels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "strategies/body_writer.hpp"

namespace foretrain {

/// Writes two lists of ops of the compute stream in turn, cut wherever one would wait: a collective
/// moves to the stream `beside`, and its pass goes on when the other one has come to a cut as well.
/// Passes of unequal numbers of pieces keep pace. Kernels are not run at once, nor made slower.
void weave(std::vector<Op> first, std::vector<Op> second, StreamIndex beside, BodyWriter& writer);

}  // namespace foretrain
