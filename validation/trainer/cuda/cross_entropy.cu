// Cross-entropy in three passes over the logits, one block for each row.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 8;
constexpr std::size_t kWideBytes = 16;
constexpr int kMostThreads = 1024;

template <int kWidth>
__global__ void row_maximum_kernel(float* row_max, const Bf16* logits, std::int64_t columns) {
  __shared__ float room[kWarp];
  const Bf16* row = logits + blockIdx.x * columns;
  float maximum = -INFINITY;
  for (std::int64_t c = threadIdx.x * kWidth; c < columns; c += blockDim.x * kWidth) {
    const auto x = load<kWidth>(row + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      maximum = fmaxf(maximum, to_float(x.at[j]));
    }
  }
  maximum = block_maximum(maximum, room);
  if (threadIdx.x == 0) {
    row_max[blockIdx.x] = maximum;
  }
}

template <int kWidth>
__global__ void softmax_sums_kernel(float* sums, float* target_logits, const Bf16* logits,
                                    const float* row_max, const std::int32_t* targets,
                                    std::int64_t first, std::int64_t columns) {
  __shared__ float room[kWarp];
  const std::int64_t n = blockIdx.x;
  const Bf16* row = logits + n * columns;
  const float maximum = row_max[n];
  float sum = 0;
  for (std::int64_t c = threadIdx.x * kWidth; c < columns; c += blockDim.x * kWidth) {
    const auto x = load<kWidth>(row + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      sum += __expf(to_float(x.at[j]) - maximum);
    }
  }
  sum = block_sum(sum, room);
  if (threadIdx.x == 0) {
    const std::int64_t target = targets[n] - first;
    sums[n] = sum;
    target_logits[n] = target >= 0 && target < columns ? to_float(row[target]) - maximum : 0.0F;
  }
}

template <int kWidth>
__global__ void cross_entropy_gradient_kernel(float* losses, Bf16* logits, const float* row_max,
                                              const float* sums, const float* target_logits,
                                              const std::int32_t* targets, std::int64_t first,
                                              std::int64_t columns, float scale) {
  const std::int64_t n = blockIdx.x;
  Bf16* row = logits + n * columns;
  const float maximum = row_max[n];
  const float inverse = 1.0F / sums[n];
  const std::int64_t target = targets[n] - first;
  for (std::int64_t c = threadIdx.x * kWidth; c < columns; c += blockDim.x * kWidth) {
    auto x = load<kWidth>(row + c);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float probability = __expf(to_float(x.at[j]) - maximum) * inverse;
      const float one = c + j == target ? 1.0F : 0.0F;
      x.at[j] = from_float<Bf16>(scale * (probability - one));
    }
    store<kWidth>(row + c, x);
  }
  if (threadIdx.x == 0) {
    losses[n] = logf(sums[n]) - target_logits[n];
  }
}

bool is_wide(const Tensor& logits, std::int64_t columns) {
  return columns % kWide == 0 && is_aligned(logits.data, kWideBytes);
}

Shape shape_of(const Tensor& logits, std::int64_t columns) {
  const std::int64_t width = is_wide(logits, columns) ? kWide : 1;
  return {logits.count / columns,
          static_cast<unsigned>(threads_for(divide_up(columns, width), kMostThreads))};
}

}  // namespace

void row_maximum(cudaStream_t stream, const Tensor& row_max, const Tensor& logits,
                 std::int64_t columns) {
  require("row_maximum", row_max, Type::fp32);
  require("row_maximum", logits, Type::bf16);
  launch("row_maximum",
         is_wide(logits, columns) ? row_maximum_kernel<kWide> : row_maximum_kernel<1>,
         shape_of(logits, columns), stream, row_max.as<float>(), logits.as<Bf16>(), columns);
}

void softmax_sums(cudaStream_t stream, const Tensor& sums, const Tensor& logits,
                  const Tensor& row_max, const Tensor& targets, std::int64_t first,
                  std::int64_t columns) {
  require("softmax_sums", sums, Type::fp32);
  require("softmax_sums", logits, Type::bf16);
  require("softmax_sums", row_max, Type::fp32);
  require("softmax_sums", targets, Type::int32);
  const std::int64_t rows = logits.count / columns;
  launch("softmax_sums",
         is_wide(logits, columns) ? softmax_sums_kernel<kWide> : softmax_sums_kernel<1>,
         shape_of(logits, columns), stream, sums.as<float>(), sums.as<float>() + rows,
         logits.as<Bf16>(), row_max.as<float>(), targets.as<std::int32_t>(), first, columns);
}

void cross_entropy_gradient(cudaStream_t stream, const Tensor& losses, const Tensor& logits,
                            const Tensor& row_max, const Tensor& sums, const Tensor& targets,
                            std::int64_t first, std::int64_t columns, float scale) {
  require("cross_entropy_gradient", losses, Type::fp32);
  require("cross_entropy_gradient", logits, Type::bf16);
  require("cross_entropy_gradient", row_max, Type::fp32);
  require("cross_entropy_gradient", sums, Type::fp32);
  require("cross_entropy_gradient", targets, Type::int32);
  const std::int64_t rows = logits.count / columns;
  launch("cross_entropy_gradient",
         is_wide(logits, columns) ? cross_entropy_gradient_kernel<kWide>
                                  : cross_entropy_gradient_kernel<1>,
         shape_of(logits, columns), stream, losses.as<float>(), logits.as<Bf16>(),
         row_max.as<float>(), sums.as<float>(), sums.as<float>() + rows, targets.as<std::int32_t>(),
         first, columns, scale);
}

}  // namespace foretrain::trainer::cuda
