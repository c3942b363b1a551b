// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/split_backward.hpp"

namespace foretrain {
namespace {

// The products inside attention have no weights, though one of theirs has a weight's shape.
const Gemm* weight_gradient_of(const Step& step) {
  const auto* gemm = std::get_if<Gemm>(&step.what);
  const bool is_one = gemm != nullptr && gemm->pass == GemmPass::weight_gradient;
  return is_one && !step.is_attention_core ? gemm : nullptr;
}

Bytes operands(const Gemm& gemm) {
  return static_cast<double>(gemm.batch * gemm.k) * static_cast<double>(gemm.m + gemm.n) *
         size_of(gemm.dtype);
}

}  // namespace

SplitBackward split_backward(const Work& work) {
  SplitBackward split;
  for (const Step& step : work.backward) {
    if (const Gemm* gemm = weight_gradient_of(step)) {
      split.weight_gradient.push_back(step);
      split.stored += operands(*gemm);
    } else {
      split.input_gradient.push_back(step);
    }
  }
  return split;
}

}  // namespace foretrain
