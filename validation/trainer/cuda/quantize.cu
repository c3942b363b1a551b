// Block quantisation to int8, and sparse sums.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/arithmetic.hpp"
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostForWarp = 4096;  // a longer block of numbers gets a block of threads

// kTogether threads for each block of numbers: a warp, or all kThreads.
template <int kTogether>
__global__ void quantize_kernel(std::int8_t* codes, float* scales, const float* in,
                                std::int64_t count, std::int64_t block) {
  __shared__ float room[kWarp];
  constexpr int kBlocks = kThreads / kTogether;
  const int lane = static_cast<int>(threadIdx.x) % kTogether;
  const std::int64_t index =
      static_cast<std::int64_t>(blockIdx.x) * kBlocks + threadIdx.x / kTogether;
  const std::int64_t begin = index * block;
  const std::int64_t end = begin + block < count ? begin + block : count;
  float largest = 0;
  for (std::int64_t i = begin + lane; i < end; i += kTogether) {
    largest = fmaxf(largest, fabsf(in[i]));
  }
  if constexpr (kTogether == kWarp) {
    largest = warp_maximum(largest);
  } else {
    largest = block_maximum(largest, room);
  }
  const float scale = scale_of(largest);
  const float inverse = scale > 0 ? 1.0F / scale : 0.0F;
  for (std::int64_t i = begin + lane; i < end; i += kTogether) {
    codes[i] = code_of(in[i], inverse);
  }
  if (lane == 0 && begin < count) {
    scales[index] = scale;
  }
}

struct Dequantize {
  float* out;
  const std::int8_t* codes;
  const float* scales;
  std::int64_t block;
  bool accumulates;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    const float scale = scales[i / block];
    const auto code = load<kWidth>(codes + i);
    Pack<float, kWidth> x{};
    if (accumulates) {
      x = load<kWidth>(out + i);
    }
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      x.at[j] += static_cast<float>(code.at[j]) * scale;
    }
    store<kWidth>(out + i, x);
  }
};

struct ScatterAdd {
  float* out;
  const float* values;
  const std::int32_t* places;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    for (int j = 0; j < kWidth; ++j) {
      out[places[i + j]] += values[i + j];
    }
  }
};

}  // namespace

void quantize(cudaStream_t stream, const Tensor& codes, const Tensor& scales, const Tensor& in,
              std::int64_t block) {
  require("quantize", codes, Type::int8);
  require("quantize", scales, Type::fp32);
  require("quantize", in, Type::fp32);
  const std::int64_t blocks = divide_up(in.count, block);
  const bool is_short = block <= kMostForWarp;
  launch("quantize", is_short ? quantize_kernel<kWarp> : quantize_kernel<kThreads>,
         {is_short ? divide_up(blocks, kThreads / kWarp) : blocks, kThreads}, stream,
         codes.as<std::int8_t>(), scales.as<float>(), in.as<float>(), in.count, block);
}

void dequantize(cudaStream_t stream, const Tensor& out, const Tensor& codes, const Tensor& scales,
                std::int64_t block, bool accumulate) {
  require("dequantize", out, Type::fp32);
  require("dequantize", codes, Type::int8);
  require("dequantize", scales, Type::fp32);
  constexpr int kWidth = 4;
  const bool is_wide = block % kWidth == 0 && is_aligned(out.data, kWidth * sizeof(float)) &&
                       is_aligned(codes.data, kWidth);
  for_each<kWidth>(
      "dequantize", stream, out.count, is_wide,
      Dequantize{out.as<float>(), codes.as<std::int8_t>(), scales.as<float>(), block, accumulate});
}

void scatter_add(cudaStream_t stream, const Tensor& out, const Tensor& values,
                 const Tensor& places) {
  require("scatter_add", out, Type::fp32);
  require("scatter_add", values, Type::fp32);
  require("scatter_add", places, Type::int32);
  for_each<1>("scatter_add", stream, values.count, true,
              ScatterAdd{out.as<float>(), values.as<float>(), places.as<std::int32_t>()});
}

}  // namespace foretrain::trainer::cuda
