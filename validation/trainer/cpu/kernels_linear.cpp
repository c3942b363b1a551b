// Kernels of linear layers: matrix products by Eigen, and biases.
// N = tokens, I = inputs, O = outputs.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include <Eigen/Core>

#include "validation/trainer/cpu/cpu_device.hpp"

namespace foretrain::trainer {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Row = Eigen::Matrix<float, 1, Eigen::Dynamic>;

Eigen::Map<Matrix> matrix(const Tensor& tensor, std::int64_t columns) {
  return {tensor.as<float>(), tensor.count / columns, columns};
}
Eigen::Map<const Row> row(const Tensor& tensor) { return {tensor.as<float>(), tensor.count}; }

}  // namespace

void CpuDevice::linear(Stream stream, const Tensor& out, const Tensor& in, const Tensor& weight,
                       const Tensor& bias, std::int64_t outputs, std::int64_t inputs) {
  streams_.enqueue(stream, [out, in, weight, bias, outputs, inputs] {
    Eigen::Map<Matrix> y = matrix(out, outputs);
    if (bias.data == nullptr) {
      y.noalias() = matrix(in, inputs) * matrix(weight, inputs).transpose();
    } else {  // a product is added to what is there, so the bias costs no pass of its own
      y.rowwise() = row(bias);
      y.noalias() += matrix(in, inputs) * matrix(weight, inputs).transpose();
    }
  });
}

void CpuDevice::linear_input_gradient(Stream stream, const Tensor& in_gradient,
                                      const Tensor& out_gradient, const Tensor& weight,
                                      std::int64_t outputs, std::int64_t inputs) {
  streams_.enqueue(stream, [in_gradient, out_gradient, weight, outputs, inputs] {
    matrix(in_gradient, inputs).noalias() = matrix(out_gradient, outputs) * matrix(weight, inputs);
  });
}

void CpuDevice::linear_weight_gradient(Stream stream, const Tensor& weight_gradient,
                                       const Tensor& out_gradient, const Tensor& in,
                                       std::int64_t outputs, std::int64_t inputs, bool accumulate) {
  streams_.enqueue(stream, [weight_gradient, out_gradient, in, outputs, inputs, accumulate] {
    Eigen::Map<Matrix> dw = matrix(weight_gradient, inputs);
    if (accumulate) {
      dw.noalias() += matrix(out_gradient, outputs).transpose() * matrix(in, inputs);
    } else {
      dw.noalias() = matrix(out_gradient, outputs).transpose() * matrix(in, inputs);
    }
  });
}

void CpuDevice::bias_gradient(const Tensor& bias_gradient, const Tensor& out_gradient,
                              std::int64_t outputs) {
  float* __restrict sums = bias_gradient.as<float>();
  for (std::int64_t n = 0; n < out_gradient.count / outputs; ++n) {
    const float* __restrict dy = out_gradient.as<float>() + n * outputs;
    for (std::int64_t o = 0; o < outputs; ++o) {
      sums[o] += dy[o];
    }
  }
}

void CpuDevice::add_bias(const Tensor& out, const Tensor& bias, std::int64_t outputs) {
  matrix(out, outputs).rowwise() += row(bias);
}

}  // namespace foretrain::trainer
