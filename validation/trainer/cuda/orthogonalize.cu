// Modified Gram-Schmidt on the columns of a tall matrix, in one block: a lane for each column, the
// warps share the rows.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWarps = 32;
constexpr float kNothing = 1e-5F;  // of its length: what is left of such a column is rounding

// The sum over all warps of what each lane has.
__device__ float lane_sum(float part, float (&room)[kWarps][kWarp]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  room[threadIdx.x / kWarp][lane] = part;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) {
    sum += room[w][lane];
  }
  __syncthreads();  // before the room is written again
  return sum;
}

// Pass j takes the part along column j - 1 from all columns after it, divides column j - 1 by its
// length, and finds the products of column j, as it now is, with all columns. A column that is
// nearly a sum of those before it becomes zero. All of it twice, because the first time rounding
// leaves much of the others in a column of which little is left (Parlett, The Symmetric Eigenvalue
// Problem, 6.9).
__global__ void orthogonalize_kernel(float* matrix, std::int64_t rows, int columns) {
  __shared__ float room[kWarps][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int round = 0; round < 2; ++round) {
    float whole = 0;    // square of this lane's column, as it was
    float product = 0;  // of this lane's column with column j - 1
    for (int j = 0; j <= columns; ++j) {
      const int before = j > 0 ? j - 1 : 0;
      const float square = __shfl_sync(kAll, product, before);
      const float least = kNothing * kNothing * __shfl_sync(kAll, whole, before);
      const float inverse = square > least ? 1.0F / sqrtf(square) : 0.0F;
      float part = 0;
      float squares = 0;
      for (std::int64_t row = warp; row < rows; row += kWarps) {
        float x = lane < columns ? matrix[row * columns + lane] : 0.0F;
        if (j > 0) {
          const float unit = __shfl_sync(kAll, x, j - 1) * inverse;
          if (lane == j - 1) {
            x = unit;
          } else if (lane >= j) {
            x -= unit * product * inverse;
          }
          if (lane >= j - 1 && lane < columns) {
            matrix[row * columns + lane] = x;
          }
        }
        part += x * __shfl_sync(kAll, x, j < columns ? j : 0);
        squares += x * x;
      }
      product = lane_sum(part, room);
      if (j == 0) {
        whole = lane_sum(squares, room);
      }
    }
  }
}

}  // namespace

void orthogonalize(cudaStream_t stream, const Tensor& matrix, std::int64_t rows,
                   std::int64_t columns) {
  require("orthogonalize", matrix, Type::fp32);
  if (columns > kWarp) {
    throw std::runtime_error("orthogonalize: at most 32 columns, not " + std::to_string(columns));
  }
  launch("orthogonalize", orthogonalize_kernel, {1, kWarps * kWarp}, stream, matrix.as<float>(),
         rows, static_cast<int>(columns));
}

}  // namespace foretrain::trainer::cuda
