// Sums over the rows of a matrix, column by column: gradients of biases and of norms' weights. Each
// block sums a tile of rows into memory of its own; a second kernel adds these parts up, always in
// the same order.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kWide = 8;
constexpr std::size_t kWideBytes = 16;
constexpr int kRowsAtOnce = 8;  // warps of a block; each takes a row
constexpr std::int64_t kMostParts = 64;

// Few enough that adding them up costs little, many enough to fill a GPU.
std::int64_t parts_of(std::int64_t rows) {
  return std::clamp<std::int64_t>(divide_up(rows, 2 * kRowsAtOnce), 1, kMostParts);
}

struct Matrix {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t parts;
  std::int64_t tiles;  // of columns: 32 kWidth each
};

// One sum: of the matrix itself.
struct PlainSource {
  static constexpr int kSums = 1;
  const Bf16* in;

  template <int kWidth>
  __device__ void add(float (&sums)[1][kWidth], std::int64_t /*row*/, std::int64_t at) const {
    const auto x = load<kWidth>(in + at);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      sums[0][j] += to_float(x.at[j]);
    }
  }
};

// Two sums: dy * (x - mean) / deviation for the weight, dy for the bias.
struct NormSource {
  static constexpr int kSums = 2;
  const Bf16* out_gradient;
  const Bf16* in;
  const float* means;
  const float* inverses;

  template <int kWidth>
  __device__ void add(float (&sums)[2][kWidth], std::int64_t row, std::int64_t at) const {
    const auto dy = load<kWidth>(out_gradient + at);
    const auto x = load<kWidth>(in + at);
    const float mean = means[row];
    const float inverse = inverses[row];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      const float g = to_float(dy.at[j]);
      sums[0][j] += g * (to_float(x.at[j]) - mean) * inverse;
      sums[1][j] += g;
    }
  }
};

// parts: [kSums, parts, columns]. Block: 32 lanes side by side, kRowsAtOnce rows.
template <class Source, int kWidth>
__global__ void partial_sums_kernel(float* parts, Source source, Matrix matrix) {
  __shared__ float room[kRowsAtOnce][kWarp * kWidth];
  const std::int64_t tile = blockIdx.x % matrix.tiles;
  const std::int64_t part = blockIdx.x / matrix.tiles;
  const std::int64_t column = (tile * kWarp + threadIdx.x) * kWidth;
  const std::int64_t rows_each = (matrix.rows + matrix.parts - 1) / matrix.parts;
  const std::int64_t begin = part * rows_each;
  const std::int64_t end = begin + rows_each < matrix.rows ? begin + rows_each : matrix.rows;
  const int lane = static_cast<int>(threadIdx.x);
  const int line = static_cast<int>(threadIdx.y);
  float sums[Source::kSums][kWidth] = {};
  if (column < matrix.columns) {
    for (std::int64_t row = begin + threadIdx.y; row < end; row += kRowsAtOnce) {
      source.template add<kWidth>(sums, row, row * matrix.columns + column);
    }
  }
  for (int s = 0; s < Source::kSums; ++s) {
    __syncthreads();  // the room is free again
    for (int j = 0; j < kWidth; ++j) {
      room[line][lane * kWidth + j] = sums[s][j];
    }
    __syncthreads();
    float* to = parts + (s * matrix.parts + part) * matrix.columns + tile * kWarp * kWidth;
    for (int c = line * kWarp + lane; c < kWarp * kWidth; c += kRowsAtOnce * kWarp) {
      float sum = 0;
      for (int r = 0; r < kRowsAtOnce; ++r) {
        sum += room[r][c];
      }
      if (tile * kWarp * kWidth + c < matrix.columns) {
        to[c] = sum;
      }
    }
  }
}

// out[column] += the sum of its parts. Block: 32 columns, kRowsAtOnce parts at once.
__global__ void add_parts_kernel(float* out, const float* parts, std::int64_t columns,
                                 std::int64_t count) {
  __shared__ float room[kRowsAtOnce][kWarp];
  const std::int64_t column = static_cast<std::int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  float sum = 0;
  if (column < columns) {
    for (std::int64_t p = threadIdx.y; p < count; p += kRowsAtOnce) {
      sum += parts[p * columns + column];
    }
  }
  room[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0 && column < columns) {
    float all = 0;
    for (int r = 0; r < kRowsAtOnce; ++r) {
      all += room[r][threadIdx.x];
    }
    out[column] += all;
  }
}

template <class Source, int kWidth>
void partial_sums(const char* name, cudaStream_t stream, float* parts, const Source& source,
                  Matrix matrix) {
  matrix.tiles = divide_up(matrix.columns, kWarp * kWidth);
  launch(name, partial_sums_kernel<Source, kWidth>,
         {matrix.tiles * matrix.parts, dim3(kWarp, kRowsAtOnce)}, stream, parts, source, matrix);
}

void add_parts(const char* name, cudaStream_t stream, const Tensor& out, const float* parts,
               const Matrix& matrix) {
  launch(name, add_parts_kernel, {divide_up(matrix.columns, kWarp), dim3(kWarp, kRowsAtOnce)},
         stream, out.as<float>(), parts, matrix.columns, matrix.parts);
}

}  // namespace

std::size_t column_sums_bytes(std::int64_t rows, std::int64_t columns) {
  return static_cast<std::size_t>(2 * parts_of(rows) * columns) * sizeof(float);
}

void layer_norm_weight_gradient(cudaStream_t stream, const Tensor& weight_gradient,
                                const Tensor& bias_gradient, const Tensor& out_gradient,
                                const Tensor& in, const Tensor& statistics, std::int64_t hidden,
                                void* scratch) {
  constexpr const char* kName = "layer_norm_gradient";
  require(kName, weight_gradient, Type::fp32);
  require(kName, bias_gradient, Type::fp32);
  require(kName, out_gradient, Type::bf16);
  require(kName, in, Type::bf16);
  require(kName, statistics, Type::fp32);
  const std::int64_t rows = in.count / hidden;
  const Matrix matrix{rows, hidden, parts_of(rows), 0};
  const NormSource source{out_gradient.as<Bf16>(), in.as<Bf16>(), statistics.as<float>(),
                          statistics.as<float>() + rows};
  auto* parts = static_cast<float*>(scratch);
  if (hidden % kWide == 0 && is_aligned(out_gradient.data, kWideBytes) &&
      is_aligned(in.data, kWideBytes)) {
    partial_sums<NormSource, kWide>(kName, stream, parts, source, matrix);
  } else {
    partial_sums<NormSource, 1>(kName, stream, parts, source, matrix);
  }
  add_parts(kName, stream, weight_gradient, parts, matrix);
  add_parts(kName, stream, bias_gradient, parts + matrix.parts * hidden, matrix);
}

void bias_gradient(cudaStream_t stream, const Tensor& bias_gradient, const Tensor& out_gradient,
                   std::int64_t outputs, void* scratch) {
  constexpr const char* kName = "bias_gradient";
  require(kName, bias_gradient, Type::fp32);
  require(kName, out_gradient, Type::bf16);
  const std::int64_t rows = out_gradient.count / outputs;
  const Matrix matrix{rows, outputs, parts_of(rows), 0};
  const PlainSource source{out_gradient.as<Bf16>()};
  auto* parts = static_cast<float*>(scratch);
  if (outputs % kWide == 0 && is_aligned(out_gradient.data, kWideBytes)) {
    partial_sums<PlainSource, kWide>(kName, stream, parts, source, matrix);
  } else {
    partial_sums<PlainSource, 1>(kName, stream, parts, source, matrix);
  }
  add_parts(kName, stream, bias_gradient, parts, matrix);
}

}  // namespace foretrain::trainer::cuda
