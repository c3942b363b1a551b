// Lion (Chen et al. 2023, algorithm 2): the sign of an interpolation between gradient and momentum
// is the update; one momentum is kept.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

double lion_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return sizes.state * tensor.elements();
}

double lion_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  return one_pass(sizes, sizes.state) * tensor.elements();
}

}  // namespace foretrain
