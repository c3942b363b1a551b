// Adafactor (Shazeer and Stern 2018, algorithm 4) without momentum: of a matrix's second moment its
// row and column sums are kept, of a vector's every element. Steps are relative to the parameter's
// root mean square, and the update's own is clipped.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {
namespace {

// Numbers kept for one matrix or vector.
double numbers(const ParameterTensor& tensor) {
  return tensor.kind == TensorKind::vector
             ? static_cast<double>(tensor.rows) * static_cast<double>(tensor.columns)
             : static_cast<double>(tensor.rows + tensor.columns);
}

}  // namespace

double adafactor_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return tensor.matrices() * numbers(tensor) * sizes.state;
}

// Four passes: the gradient's squares are summed over rows and columns; the update is computed from
// the gradient, its mean square on the way, and written in fp32; the parameter is read for its
// mean square; the update is read and applied.
double adafactor_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  const double read = sizes.master > 0 ? sizes.master : sizes.parameter;
  const double passes =
      sizes.gradient + (sizes.gradient + 4) + read + (4 + parameter_traffic(sizes));
  return passes * tensor.elements() + 2 * adafactor_state(tensor, sizes);
}

// The sums over a cut tensor in fp32, and the two mean squares.
OptimizerExchange adafactor_exchange(const ParameterTensor& tensor) {
  const double sums = tensor.kind == TensorKind::vector ? 0 : numbers(tensor);
  return {0, 4 * (sums + 2) * tensor.matrices()};
}

}  // namespace foretrain
