// Causal attention after FlashAttention-2 (Dao 2023): a block of four warps has 64 queries of a
// head and goes through the keys up to them, 64 at a time; scores never leave the registers.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/arithmetic.hpp"
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/tensor_core.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kKeyPairs = kTile / 16;  // of 8 keys each: what one load of right sides brings

// What a thread keeps of its two rows, g and g + 8 of its warp. Logarithms are to base 2.
struct RowState {
  float maximum[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0, 0};  // of this thread's columns only
};

// Scores of the warp's 16 queries with the tile's 64 keys.
template <int kDim>
__device__ void score(float (&scores)[2 * kKeyPairs][4],
                      const std::uint32_t (&queries)[kDim / 16][4], const Bf16* keys) {
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (int n = 0; n < kKeyPairs; ++n) {
      std::uint32_t b[4];
      load_transposed<kDim>(b, keys, n * 16, k * 16);
      multiply(scores[2 * n], queries[k], b[0], b[1]);
      multiply(scores[2 * n + 1], queries[k], b[2], b[3]);
    }
  }
}

// On the diagonal: first_query is that of row g, first_key that of column 0, both in the tile.
__device__ void mask(float (&scores)[2 * kKeyPairs][4], int query, int first_key) {
#pragma unroll
  for (int n = 0; n < 2 * kKeyPairs; ++n) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (first_key + n * 8 + j % 2 > query + j / 2 * 8) {
        scores[n][j] = -INFINITY;
      }
    }
  }
}

// Scores become probabilities up to the factor that is known at the end; returns in `shrink` by how
// much what was summed before shrinks.
__device__ void soften(float (&scores)[2 * kKeyPairs][4], RowState& rows, float (&shrink)[2],
                       float scale) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float maximum = -INFINITY;
#pragma unroll
    for (int n = 0; n < 2 * kKeyPairs; ++n) {
      maximum = fmaxf(maximum, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    }
    maximum = fmaxf(maximum, __shfl_xor_sync(kAll, maximum, 1));  // the four lanes of a row
    maximum = fmaxf(maximum, __shfl_xor_sync(kAll, maximum, 2));
    maximum = fmaxf(rows.maximum[r], maximum * scale);
    shrink[r] = exp2f(rows.maximum[r] - maximum);
    rows.maximum[r] = maximum;
    float sum = 0;
#pragma unroll
    for (int n = 0; n < 2 * kKeyPairs; ++n) {
#pragma unroll
      for (int j = 2 * r; j < 2 * r + 2; ++j) {
        scores[n][j] = exp2f(scores[n][j] * scale - maximum);
        sum += scores[n][j];
      }
    }
    rows.sum[r] = rows.sum[r] * shrink[r] + sum;
  }
}

template <int kDim>
__device__ void add_values(float (&sums)[kDim / 8][4], const float (&scores)[2 * kKeyPairs][4],
                           const Bf16* values) {
#pragma unroll
  for (int k = 0; k < kKeyPairs; ++k) {
    std::uint32_t a[4];
    to_left(a, scores[2 * k], scores[2 * k + 1]);
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      std::uint32_t b[4];
      load_right<kDim>(b, values, k * 16, n * 16);
      multiply(sums[2 * n], a, b[0], b[1]);
      multiply(sums[2 * n + 1], a, b[2], b[3]);
    }
  }
}

template <int kDim>
__device__ void store_rows(Bf16* out, float* saved, const AttentionLayout& layout, std::int64_t b,
                           std::int64_t h, std::int64_t first, const float (&sums)[kDim / 8][4],
                           const RowState& rows) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float sum = rows.sum[r];
    sum += __shfl_xor_sync(kAll, sum, 1);
    sum += __shfl_xor_sync(kAll, sum, 2);
    const std::int64_t query = first + lane / 4 + r * 8;
    if (query >= layout.sequence) {
      continue;
    }
    Bf16* to = out + layout.out(b, query, h) + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      store_pair(to + n * 8, sums[n][2 * r] / sum, sums[n][2 * r + 1] / sum);
    }
    if (lane % 4 == 0) {
      saved[layout.statistic(b, query, h)] = (rows.maximum[r] + log2f(sum)) * kLn2;
    }
  }
}

// Blocks with many keys come first: the last ones to finish are short.
template <int kDim>
__global__ void __launch_bounds__(kTileThreads)
    attention_kernel(Bf16* out, float* saved, const Bf16* qkv, AttentionLayout layout,
                     std::int64_t pairs, std::int64_t tiles, float scale) {
  alignas(16) __shared__ Bf16 keys[kTile * kPitch<kDim>];
  alignas(16) __shared__ Bf16 values[kTile * kPitch<kDim>];
  const std::int64_t pair = blockIdx.x % pairs;
  const std::int64_t tile = tiles - 1 - blockIdx.x / pairs;
  const std::int64_t b = pair / layout.heads;
  const std::int64_t h = pair % layout.heads;
  const std::int64_t stride = layout.qkv_stride();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int first_row = static_cast<int>(threadIdx.x) / kWarp * kRowsOfWarp;

  std::uint32_t queries[kDim / 16][4];  // they come through the memory of the keys
  load_tile<kDim>(keys, qkv + layout.qkv(b, tile * kTile, 0, h), stride,
                  layout.sequence - tile * kTile);
  __syncthreads();
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    load_left<kDim>(queries[k], keys, first_row, k * 16);
  }

  float sums[kDim / 8][4] = {};
  RowState rows;
  for (std::int64_t t = 0; t <= tile; ++t) {
    __syncthreads();  // all warps are done with the tiles before these
    const std::int64_t left = layout.sequence - t * kTile;
    load_tile<kDim>(keys, qkv + layout.qkv(b, t * kTile, 1, h), stride, left);
    load_tile<kDim>(values, qkv + layout.qkv(b, t * kTile, 2, h), stride, left);
    __syncthreads();
    float scores[2 * kKeyPairs][4] = {};
    score<kDim>(scores, queries, keys);
    if (t == tile) {
      mask(scores, first_row + lane / 4, lane % 4 * 2);
    }
    float shrink[2];
    soften(scores, rows, shrink, scale);
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        sums[n][j] *= shrink[j / 2];
      }
    }
    add_values<kDim>(sums, scores, values);
  }
  store_rows<kDim>(out, saved, layout, b, h, tile * kTile + first_row, sums, rows);
}

}  // namespace

void require_attention(const char* name, std::int64_t head_dim,
                       std::initializer_list<Tensor> tensors) {
  if (head_dim != 64 && head_dim != 128) {
    throw std::runtime_error(std::string(name) + ": on a GPU heads are 64 or 128 wide, not " +
                             std::to_string(head_dim));
  }
  constexpr std::size_t kBytes = 16;
  for (const Tensor& tensor : tensors) {
    require(name, tensor, Type::bf16);
    if (!is_aligned(tensor.data, kBytes)) {
      throw std::runtime_error(std::string(name) + ": memory is not aligned to 16 bytes");
    }
  }
}

void attention(cudaStream_t stream, const Tensor& out, const Tensor& saved, const Tensor& qkv,
               const AttentionShape& shape) {
  constexpr const char* kName = "attention";
  require_attention(kName, shape.head_dim, {out, qkv});
  require(kName, saved, Type::fp32);
  const std::int64_t pairs = shape.batch * shape.heads;
  const std::int64_t tiles = divide_up(shape.sequence, kTile);
  const float scale = kLog2E / std::sqrt(static_cast<float>(shape.head_dim));
  launch(kName, shape.head_dim == 64 ? attention_kernel<64> : attention_kernel<128>,
         {pairs * tiles, kTileThreads}, stream, out.as<Bf16>(), saved.as<float>(), qkv.as<Bf16>(),
         AttentionLayout{shape.heads, shape.sequence, shape.head_dim}, pairs, tiles, scale);
}

}  // namespace foretrain::trainer::cuda
