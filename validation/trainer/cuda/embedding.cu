// Embeddings of tokens and positions. One block for each token, or one thread for each number.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 8;
constexpr std::size_t kWideBytes = 16;
constexpr int kMostThreads = 256;

// The row of a token in this rank's table, or -1.
__device__ std::int64_t row_of(const std::int32_t* tokens, std::int64_t n, std::int64_t first,
                               std::int64_t rows) {
  const std::int64_t row = tokens[n] - first;
  return row >= 0 && row < rows ? row : -1;
}

template <int kWidth>
__global__ void embedding_kernel(Bf16* out, const std::int32_t* tokens, const Bf16* table,
                                 std::int64_t first, std::int64_t rows, std::int64_t hidden) {
  const std::int64_t n = blockIdx.x;
  const std::int64_t row = row_of(tokens, n, first, rows);
  for (std::int64_t c = threadIdx.x * kWidth; c < hidden; c += blockDim.x * kWidth) {
    Pack<Bf16, kWidth> x;
    if (row >= 0) {
      x = load<kWidth>(table + row * hidden + c);
    } else {
      for (int j = 0; j < kWidth; ++j) {
        x.at[j] = from_float<Bf16>(0.0F);
      }
    }
    store<kWidth>(out + n * hidden + c, x);
  }
}

// Tokens repeat, so their rows meet in atomic additions: the order of the sum is not fixed.
__global__ void embedding_gradient_kernel(float* table_gradient, const Bf16* out_gradient,
                                          const std::int32_t* tokens, std::int64_t first,
                                          std::int64_t rows, std::int64_t hidden) {
  const std::int64_t n = blockIdx.x;
  const std::int64_t row = row_of(tokens, n, first, rows);
  if (row < 0) {
    return;
  }
  for (std::int64_t c = threadIdx.x; c < hidden; c += blockDim.x) {
    atomicAdd(table_gradient + row * hidden + c, to_float(out_gradient[n * hidden + c]));
  }
}

struct AddPositions {
  Bf16* out;
  const Bf16* positions;
  std::int64_t length;  // of all positions: S C

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    auto x = load<kWidth>(out + i);
    const auto y = load<kWidth>(positions + i % length);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      x.at[j] = from_float<Bf16>(to_float(x.at[j]) + to_float(y.at[j]));
    }
    store<kWidth>(out + i, x);
  }
};

struct PositionsGradient {
  float* positions_gradient;
  const Bf16* out_gradient;
  std::int64_t length;
  std::int64_t sequences;

  template <int kWidth>
  __device__ void run(std::int64_t i) const {
    Pack<float, kWidth> sum = load<kWidth>(positions_gradient + i);
    for (std::int64_t b = 0; b < sequences; ++b) {
      const auto x = load<kWidth>(out_gradient + b * length + i);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        sum.at[j] += to_float(x.at[j]);
      }
    }
    store<kWidth>(positions_gradient + i, sum);
  }
};

}  // namespace

void embedding(cudaStream_t stream, const Tensor& out, const Tensor& tokens, const Tensor& table,
               std::int64_t first, std::int64_t hidden) {
  require("embedding", out, Type::bf16);
  require("embedding", tokens, Type::int32);
  require("embedding", table, Type::bf16);
  const bool is_wide =
      hidden % kWide == 0 && is_aligned(out.data, kWideBytes) && is_aligned(table.data, kWideBytes);
  const int width = is_wide ? kWide : 1;
  launch("embedding", is_wide ? embedding_kernel<kWide> : embedding_kernel<1>,
         {tokens.count, static_cast<unsigned>(threads_for(hidden / width, kMostThreads))}, stream,
         out.as<Bf16>(), tokens.as<std::int32_t>(), table.as<Bf16>(), first, table.count / hidden,
         hidden);
}

void embedding_gradient(cudaStream_t stream, const Tensor& table_gradient,
                        const Tensor& out_gradient, const Tensor& tokens, std::int64_t first,
                        std::int64_t hidden) {
  require("embedding_gradient", table_gradient, Type::fp32);
  require("embedding_gradient", out_gradient, Type::bf16);
  require("embedding_gradient", tokens, Type::int32);
  launch("embedding_gradient", embedding_gradient_kernel,
         {tokens.count, static_cast<unsigned>(threads_for(hidden, kMostThreads))}, stream,
         table_gradient.as<float>(), out_gradient.as<Bf16>(), tokens.as<std::int32_t>(), first,
         table_gradient.count / hidden, hidden);
}

void add_positions(cudaStream_t stream, const Tensor& out, const Tensor& positions,
                   std::int64_t sequence, std::int64_t hidden) {
  require("add_positions", out, Type::bf16);
  require("add_positions", positions, Type::bf16);
  const std::int64_t length = sequence * hidden;
  const bool is_wide = length % kWide == 0 && is_aligned(out.data, kWideBytes) &&
                       is_aligned(positions.data, kWideBytes);
  for_each<kWide>("add_positions", stream, out.count, is_wide,
                  AddPositions{out.as<Bf16>(), positions.as<Bf16>(), length});
}

void positions_gradient(cudaStream_t stream, const Tensor& positions_gradient,
                        const Tensor& out_gradient, std::int64_t sequence, std::int64_t hidden) {
  require("positions_gradient", positions_gradient, Type::fp32);
  require("positions_gradient", out_gradient, Type::bf16);
  constexpr int kWidth = 4;  // fp32 numbers in 16 bytes
  const std::int64_t length = sequence * hidden;
  const bool is_wide = length % kWidth == 0 && is_aligned(out_gradient.data, kWideBytes / 2) &&
                       is_aligned(positions_gradient.data, kWideBytes);
  for_each<kWidth>("positions_gradient", stream, length, is_wide,
                   PositionsGradient{positions_gradient.as<float>(), out_gradient.as<Bf16>(),
                                     length, out_gradient.count / length});
}

}  // namespace foretrain::trainer::cuda
