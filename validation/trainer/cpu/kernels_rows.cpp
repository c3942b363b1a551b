// Kernels that go row by row: embedding, positions, layer norm.
// N = tokens, C = hidden width, S = tokens of a sequence.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <cstring>

#include "validation/trainer/cpu/cpu_device.hpp"

namespace foretrain::trainer {
namespace {

constexpr float kLayerNormEpsilon = 1e-5F;

void add_row(float* __restrict to, const float* __restrict from, std::int64_t count) {
  for (std::int64_t c = 0; c < count; ++c) {
    to[c] += from[c];
  }
}

float sum_of(const float* row, std::int64_t count) {
  float sum = 0;
  for (std::int64_t c = 0; c < count; ++c) {
    sum += row[c];
  }
  return sum;
}

float squares_about(const float* row, float mean, std::int64_t count) {
  float sum = 0;
  for (std::int64_t c = 0; c < count; ++c) {
    const float off = row[c] - mean;
    sum += off * off;
  }
  return sum;
}

// With y = (x - mean) r w + b and g = dL/dy w, for the C numbers of a row:
// dL/dx = r (g - average(g) - xhat average(g xhat)), where xhat = (x - mean) r.
struct RowOfNorm {
  const float* out_gradient;
  const float* in;
  const float* weight;
  float mean;
  float inverse_deviation;
};

void layer_norm_row_gradient(float* __restrict in_gradient, float* __restrict weight_gradient,
                             float* __restrict bias_gradient, const RowOfNorm& row,
                             std::int64_t hidden) {
  const float* __restrict dy = row.out_gradient;
  const float* __restrict x = row.in;
  const float* __restrict w = row.weight;
  const float mean = row.mean;
  const float r = row.inverse_deviation;
  float sum = 0;
  float sum_by_xhat = 0;
  for (std::int64_t c = 0; c < hidden; ++c) {
    const float xhat = (x[c] - mean) * r;
    const float g = dy[c] * w[c];
    sum += g;
    sum_by_xhat += g * xhat;
    weight_gradient[c] += dy[c] * xhat;
    bias_gradient[c] += dy[c];
  }
  const float average = sum / static_cast<float>(hidden);
  const float average_by_xhat = sum_by_xhat / static_cast<float>(hidden);
  for (std::int64_t c = 0; c < hidden; ++c) {
    const float xhat = (x[c] - mean) * r;
    in_gradient[c] += r * (dy[c] * w[c] - average - xhat * average_by_xhat);
  }
}

}  // namespace

void CpuDevice::embedding(const Tensor& out, const Tensor& tokens, const Tensor& table,
                          std::int64_t first, std::int64_t hidden) {
  const std::int64_t rows = table.count / hidden;
  const auto row_bytes = static_cast<std::size_t>(hidden) * sizeof(float);
  for (std::int64_t n = 0; n < tokens.count; ++n) {
    const std::int64_t row = tokens.as<std::int32_t>()[n] - first;
    float* const to = out.as<float>() + n * hidden;
    if (row >= 0 && row < rows) {
      std::memcpy(to, table.as<float>() + row * hidden, row_bytes);
    } else {
      std::memset(to, 0, row_bytes);
    }
  }
}

void CpuDevice::embedding_gradient(const Tensor& table_gradient, const Tensor& out_gradient,
                                   const Tensor& tokens, std::int64_t first, std::int64_t hidden) {
  const std::int64_t rows = table_gradient.count / hidden;
  for (std::int64_t n = 0; n < tokens.count; ++n) {
    const std::int64_t row = tokens.as<std::int32_t>()[n] - first;
    if (row >= 0 && row < rows) {
      add_row(table_gradient.as<float>() + row * hidden, out_gradient.as<float>() + n * hidden,
              hidden);
    }
  }
}

void CpuDevice::add_positions(const Tensor& out, const Tensor& positions, std::int64_t sequence,
                              std::int64_t hidden) {
  for (std::int64_t n = 0; n < out.count / hidden; ++n) {
    add_row(out.as<float>() + n * hidden, positions.as<float>() + n % sequence * hidden, hidden);
  }
}

void CpuDevice::positions_gradient(const Tensor& positions_gradient, const Tensor& out_gradient,
                                   std::int64_t sequence, std::int64_t hidden) {
  for (std::int64_t n = 0; n < out_gradient.count / hidden; ++n) {
    add_row(positions_gradient.as<float>() + n % sequence * hidden,
            out_gradient.as<float>() + n * hidden, hidden);
  }
}

void CpuDevice::layer_norm(const Tensor& out, const Tensor& statistics, const Tensor& in,
                           const Tensor& weight, const Tensor& bias, std::int64_t hidden) {
  const std::int64_t rows = in.count / hidden;
  const float* __restrict w = weight.as<float>();
  const float* __restrict b = bias.as<float>();
  for (std::int64_t n = 0; n < rows; ++n) {
    const float* __restrict x = in.as<float>() + n * hidden;
    float* __restrict y = out.as<float>() + n * hidden;
    const float mean = sum_of(x, hidden) / static_cast<float>(hidden);
    const float variance = squares_about(x, mean, hidden) / static_cast<float>(hidden);
    const float r = 1 / std::sqrt(variance + kLayerNormEpsilon);
    for (std::int64_t c = 0; c < hidden; ++c) {
      y[c] = (x[c] - mean) * r * w[c] + b[c];
    }
    statistics.as<float>()[n] = mean;
    statistics.as<float>()[rows + n] = r;
  }
}

void CpuDevice::layer_norm_gradient(const Tensor& in_gradient, const Tensor& weight_gradient,
                                    const Tensor& bias_gradient, const Tensor& out_gradient,
                                    const Tensor& in, const Tensor& weight,
                                    const Tensor& statistics, std::int64_t hidden) {
  const std::int64_t rows = in.count / hidden;
  for (std::int64_t n = 0; n < rows; ++n) {
    const RowOfNorm row{out_gradient.as<float>() + n * hidden, in.as<float>() + n * hidden,
                        weight.as<float>(), statistics.as<float>()[n],
                        statistics.as<float>()[rows + n]};
    layer_norm_row_gradient(in_gradient.as<float>() + n * hidden, weight_gradient.as<float>(),
                            bias_gradient.as<float>(), row, hidden);
  }
}

}  // namespace foretrain::trainer
