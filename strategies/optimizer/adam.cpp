// Adam and AdamW (Kingma and Ba 2015; Loshchilov and Hutter 2019): momentum and variance, updated
// with the parameter in one fused pass. Decay on the parameter needs no byte more.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

double adam_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return 2 * sizes.state * tensor.elements();
}

// In mixed precision 4 + 16 + 8 + 2 = 30 bytes with an fp32 gradient.
double adam_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  return one_pass(sizes, 2 * sizes.state) * tensor.elements();
}

}  // namespace foretrain
