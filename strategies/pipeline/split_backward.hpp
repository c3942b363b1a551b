// A block's backward pass in the two parts that zero-bubble schedules order freely.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "models/blocks/blocks.hpp"

namespace foretrain {

struct SplitBackward {
  /// B: everything that the gradient of the block's input needs, with the gradients of biases and
  /// norms, which are computed on the way.
  std::vector<Step> input_gradient;
  /// W: the GEMMs of the weights' gradients.
  std::vector<Step> weight_gradient;
  /// Activations that wait from B to W: both operands of these GEMMs, a layer's input and its
  /// output's gradient.
  Bytes stored;
};

[[nodiscard]] SplitBackward split_backward(const Work& work);

}  // namespace foretrain
