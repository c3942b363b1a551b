// Cross-entropy over the columns of the vocabulary that this rank holds.
// N = tokens, V = columns.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>

#include <Eigen/Core>

#include "validation/trainer/cpu/cpu_device.hpp"

namespace foretrain::trainer {
namespace {

using Numbers = Eigen::Map<Eigen::ArrayXf>;

Numbers row_of(const Tensor& logits, std::int64_t n, std::int64_t columns) {
  return {logits.as<float>() + n * columns, columns};
}

// The column of the target, or -1 if another rank holds it.
std::int64_t column_of(const Tensor& targets, std::int64_t n, std::int64_t first,
                       std::int64_t columns) {
  const std::int64_t column = targets.as<std::int32_t>()[n] - first;
  return column >= 0 && column < columns ? column : -1;
}

}  // namespace

void CpuDevice::row_maximum(const Tensor& row_max, const Tensor& logits, std::int64_t columns) {
  for (std::int64_t n = 0; n < row_max.count; ++n) {
    row_max.as<float>()[n] = row_of(logits, n, columns).maxCoeff();
  }
}

void CpuDevice::softmax_sums(const Tensor& sums, const Tensor& logits, const Tensor& row_max,
                             const Tensor& targets, std::int64_t first, std::int64_t columns) {
  for (std::int64_t n = 0; n < row_max.count; ++n) {
    const Numbers row = row_of(logits, n, columns);
    const float largest = row_max.as<float>()[n];
    const std::int64_t target = column_of(targets, n, first, columns);
    sums.as<float>()[n] = (row - largest).exp().sum();
    sums.as<float>()[row_max.count + n] = target < 0 ? 0 : row[target] - largest;
  }
}

void CpuDevice::cross_entropy_gradient(const Tensor& losses, const Tensor& logits,
                                       const Tensor& row_max, const Tensor& sums,
                                       const Tensor& targets, std::int64_t first,
                                       std::int64_t columns, float scale) {
  for (std::int64_t n = 0; n < row_max.count; ++n) {
    Numbers row = row_of(logits, n, columns);
    const float sum = sums.as<float>()[n];
    const std::int64_t target = column_of(targets, n, first, columns);
    losses.as<float>()[n] = std::log(sum) - sums.as<float>()[row_max.count + n];
    row = (row - row_max.as<float>()[n]).exp() * (scale / sum);
    if (target >= 0) {
      row[target] -= scale;
    }
  }
}

}  // namespace foretrain::trainer
