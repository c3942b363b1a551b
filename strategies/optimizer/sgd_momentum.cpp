// Stochastic gradient descent with momentum (Polyak 1964; Nesterov's form costs the same).
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

double sgd_momentum_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return sizes.state * tensor.elements();
}

double sgd_momentum_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  return one_pass(sizes, sizes.state) * tensor.elements();
}

}  // namespace foretrain
