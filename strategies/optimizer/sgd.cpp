// Plain stochastic gradient descent: reads the gradient, updates the parameter.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

double sgd_state(const ParameterTensor&, const StateSizes&) { return 0; }

double sgd_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  return one_pass(sizes, 0) * tensor.elements();
}

}  // namespace foretrain
