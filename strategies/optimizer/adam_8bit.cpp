// 8-bit Adam (Dettmers et al. 2022): both moments quantised to a byte, in blocks of 2048 that share
// an fp32 maximum. Embeddings keep theirs in 32 bit (section 2.3), as does bitsandbytes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {
namespace {

constexpr double kBlock = 2048;  // section 2.1

double moments(const ParameterTensor& tensor) {
  return tensor.kind == TensorKind::embedding ? 2 * 4 : 2 * (1 + 4 / kBlock);
}

}  // namespace

double adam_8bit_state(const ParameterTensor& tensor, const StateSizes&) {
  return moments(tensor) * tensor.elements();
}

double adam_8bit_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  return one_pass(sizes, moments(tensor)) * tensor.elements();
}

}  // namespace foretrain
