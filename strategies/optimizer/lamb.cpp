// LAMB (You et al. 2020, algorithm 2): Adam's update of a tensor is scaled by the norms of the
// tensor and of the update.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

double lamb_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return 2 * sizes.state * tensor.elements();
}

// Three passes: gradient, moments and parameter make an update, written in fp32; the norms read
// parameter and update; the update is read and applied.
double lamb_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  const double read = sizes.master > 0 ? sizes.master : sizes.parameter;
  const double passes =
      (sizes.gradient + 4 * sizes.state + read + 4) + (read + 4) + (4 + parameter_traffic(sizes));
  return passes * tensor.elements();
}

// Two sums of squares in fp32.
OptimizerExchange lamb_exchange(const ParameterTensor& tensor) {
  return {0, 4 * 2 * static_cast<double>(tensor.count)};
}

}  // namespace foretrain
