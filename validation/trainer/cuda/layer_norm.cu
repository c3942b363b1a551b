// Layer norm, forward and towards its input: one block for each row. A row is read again from
// cache.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 8;
constexpr std::size_t kWideBytes = 16;
constexpr int kMostThreads = 256;
constexpr float kEpsilon = 1e-5F;

template <int kWidth>
__global__ void layer_norm_kernel(Bf16* out, float* means, float* inverses, const Bf16* in,
                                  const Bf16* weight, const Bf16* bias, std::int64_t hidden) {
  __shared__ float room[kWarp];
  const std::int64_t n = blockIdx.x;
  const Bf16* row = in + n * hidden;
  const std::int64_t begin = threadIdx.x * kWidth;
  const std::int64_t step = blockDim.x * kWidth;
  const float width = static_cast<float>(hidden);
  float sum = 0;
  for (std::int64_t c = begin; c < hidden; c += step) {
    const auto x = load<kWidth>(row + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      sum += to_float(x.at[j]);
    }
  }
  const float mean = block_sum(sum, room) / width;
  float squares = 0;
  for (std::int64_t c = begin; c < hidden; c += step) {
    const auto x = load<kWidth>(row + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float d = to_float(x.at[j]) - mean;
      squares += d * d;
    }
  }
  const float inverse = rsqrtf(block_sum(squares, room) / width + kEpsilon);
  for (std::int64_t c = begin; c < hidden; c += step) {
    auto x = load<kWidth>(row + c);
    const auto w = load<kWidth>(weight + c);
    const auto b = load<kWidth>(bias + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float normed = (to_float(x.at[j]) - mean) * inverse;
      x.at[j] = from_float<Bf16>(normed * to_float(w.at[j]) + to_float(b.at[j]));
    }
    store<kWidth>(out + n * hidden + c, x);
  }
  if (threadIdx.x == 0) {
    means[n] = mean;
    inverses[n] = inverse;
  }
}

// With g = dy * weight and z = (x - mean) / deviation:
// dx += (g - mean(g) - z * mean(g * z)) / deviation.
template <int kWidth>
__global__ void layer_norm_input_gradient_kernel(Bf16* in_gradient, const Bf16* out_gradient,
                                                 const Bf16* in, const Bf16* weight,
                                                 const float* means, const float* inverses,
                                                 std::int64_t hidden) {
  __shared__ float room[kWarp];
  const std::int64_t n = blockIdx.x;
  const std::int64_t begin = threadIdx.x * kWidth;
  const std::int64_t step = blockDim.x * kWidth;
  const float width = static_cast<float>(hidden);
  const float mean = means[n];
  const float inverse = inverses[n];
  float sum = 0;
  float product = 0;
  for (std::int64_t c = begin; c < hidden; c += step) {
    const auto dy = load<kWidth>(out_gradient + n * hidden + c);
    const auto x = load<kWidth>(in + n * hidden + c);
    const auto w = load<kWidth>(weight + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float g = to_float(dy.at[j]) * to_float(w.at[j]);
      sum += g;
      product += g * (to_float(x.at[j]) - mean) * inverse;
    }
  }
  sum = block_sum(sum, room) / width;
  product = block_sum(product, room) / width;
  for (std::int64_t c = begin; c < hidden; c += step) {
    const auto dy = load<kWidth>(out_gradient + n * hidden + c);
    const auto x = load<kWidth>(in + n * hidden + c);
    const auto w = load<kWidth>(weight + c);
    auto dx = load<kWidth>(in_gradient + n * hidden + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float g = to_float(dy.at[j]) * to_float(w.at[j]);
      const float z = (to_float(x.at[j]) - mean) * inverse;
      dx.at[j] = from_float<Bf16>(to_float(dx.at[j]) + (g - sum - z * product) * inverse);
    }
    store<kWidth>(in_gradient + n * hidden + c, dx);
  }
}

Shape shape_of(std::int64_t rows, std::int64_t hidden, int width) {
  return {rows, static_cast<unsigned>(threads_for(divide_up(hidden, width), kMostThreads))};
}

}  // namespace

void layer_norm(cudaStream_t stream, const Tensor& out, const Tensor& statistics, const Tensor& in,
                const Tensor& weight, const Tensor& bias, std::int64_t hidden) {
  require("layer_norm", out, Type::bf16);
  require("layer_norm", statistics, Type::fp32);
  require("layer_norm", in, Type::bf16);
  require("layer_norm", weight, Type::bf16);
  require("layer_norm", bias, Type::bf16);
  const std::int64_t rows = in.count / hidden;
  const bool is_wide = hidden % kWide == 0 && is_aligned(out.data, kWideBytes) &&
                       is_aligned(in.data, kWideBytes) && is_aligned(weight.data, kWideBytes) &&
                       is_aligned(bias.data, kWideBytes);
  launch("layer_norm", is_wide ? layer_norm_kernel<kWide> : layer_norm_kernel<1>,
         shape_of(rows, hidden, is_wide ? kWide : 1), stream, out.as<Bf16>(),
         statistics.as<float>(), statistics.as<float>() + rows, in.as<Bf16>(), weight.as<Bf16>(),
         bias.as<Bf16>(), hidden);
}

void layer_norm_input_gradient(cudaStream_t stream, const Tensor& in_gradient,
                               const Tensor& out_gradient, const Tensor& in, const Tensor& weight,
                               const Tensor& statistics, std::int64_t hidden) {
  require("layer_norm_gradient", in_gradient, Type::bf16);
  require("layer_norm_gradient", out_gradient, Type::bf16);
  require("layer_norm_gradient", in, Type::bf16);
  require("layer_norm_gradient", weight, Type::bf16);
  require("layer_norm_gradient", statistics, Type::fp32);
  const std::int64_t rows = in.count / hidden;
  const bool is_wide = hidden % kWide == 0 && is_aligned(in_gradient.data, kWideBytes) &&
                       is_aligned(out_gradient.data, kWideBytes) &&
                       is_aligned(in.data, kWideBytes) && is_aligned(weight.data, kWideBytes);
  launch("layer_norm_gradient",
         is_wide ? layer_norm_input_gradient_kernel<kWide> : layer_norm_input_gradient_kernel<1>,
         shape_of(rows, hidden, is_wide ? kWide : 1), stream, in_gradient.as<Bf16>(),
         out_gradient.as<Bf16>(), in.as<Bf16>(), weight.as<Bf16>(), statistics.as<float>(),
         statistics.as<float>() + rows, hidden);
}

}  // namespace foretrain::trainer::cuda
