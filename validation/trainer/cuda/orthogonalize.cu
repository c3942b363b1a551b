// Modified Gram-Schmidt on the columns of a tall matrix, in one block: a lane for each column, the
// warps share the rows.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWarps = 32;

// Pass j takes the part along column j - 1 from all columns after it, divides column j - 1 by its
// length, and finds the products of column j, as it now is, with all columns.
__global__ void orthogonalize_kernel(float* matrix, std::int64_t rows, int columns) {
  __shared__ float room[kWarps][kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  float product = 0;  // of this lane's column with column j - 1
  for (int j = 0; j <= columns; ++j) {
    const float square = __shfl_sync(kAll, product, j > 0 ? j - 1 : 0);
    const float inverse = square > 0 ? 1.0F / sqrtf(square) : 0.0F;
    float part = 0;
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
    }
    room[warp][lane] = part;
    __syncthreads();
    product = 0;
    for (int w = 0; w < kWarps; ++w) {
      product += room[w][lane];
    }
    __syncthreads();  // before the room is written again
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
