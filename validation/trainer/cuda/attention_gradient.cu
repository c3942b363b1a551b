// The backward of causal attention, in three kernels without atomic additions: delta, the sum of
// dO * O of each row; dQ by tiles of queries; dK and dV by tiles of keys. With probabilities P from
// the saved log-sum-exps: dV = P^T dO, dS = P * (dO V^T - delta) * scale, dQ = dS K, dK = dS^T Q.
// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/cuda/arithmetic.hpp"
#include "validation/trainer/cuda/kernels.hpp"
#include "validation/trainer/cuda/tensor_core.cuh"

namespace foretrain::trainer::cuda {
namespace {

constexpr int kPart = 32;           // columns of scores that are held at once
constexpr int kPairs = kPart / 16;  // of 8 columns each
constexpr int kWarpsOfDelta = 8;

struct Backward {
  Bf16* qkv_gradient;
  const Bf16* out_gradient;
  const Bf16* qkv;
  const float* saved;
  const float* delta;
  AttentionLayout layout;
  std::int64_t pairs;  // of a sequence and a head
  std::int64_t tiles;
  float scale;
};

// A warp for each row of a head.
__global__ void delta_kernel(float* delta, const Bf16* out_gradient, const Bf16* out,
                             AttentionLayout layout, std::int64_t rows) {
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * kWarpsOfDelta + threadIdx.x / kWarp;
  if (row >= rows) {
    return;
  }
  float sum = 0;
  for (std::int64_t d = threadIdx.x % kWarp; d < layout.head_dim; d += kWarp) {
    const std::int64_t at = row * layout.head_dim + d;
    sum += to_float(out_gradient[at]) * to_float(out[at]);
  }
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) {
    const std::int64_t token = row / layout.heads;
    delta[layout.statistic(token / layout.sequence, token % layout.sequence, row % layout.heads)] =
        sum;
  }
}

// Two products at once: first += rows of `left_a` by those of `right_a`, likewise second. Rows of
// the right tiles from `from` on, kPart of them.
template <int kDim>
__device__ void multiply_rows(float (&first)[2 * kPairs][4], const Bf16* left_a,
                              const Bf16* right_a, float (&second)[2 * kPairs][4],
                              const Bf16* left_b, const Bf16* right_b, int row, int from) {
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    std::uint32_t a[4];
    std::uint32_t b[4];
    load_left<kDim>(a, left_a, row, k * 16);
#pragma unroll
    for (int n = 0; n < kPairs; ++n) {
      load_transposed<kDim>(b, right_a, from + n * 16, k * 16);
      multiply(first[2 * n], a, b[0], b[1]);
      multiply(first[2 * n + 1], a, b[2], b[3]);
    }
    load_left<kDim>(a, left_b, row, k * 16);
#pragma unroll
    for (int n = 0; n < kPairs; ++n) {
      load_transposed<kDim>(b, right_b, from + n * 16, k * 16);
      multiply(second[2 * n], a, b[0], b[1]);
      multiply(second[2 * n + 1], a, b[2], b[3]);
    }
  }
}

// sums += weights (16 x kPart) by rows from .. from + kPart - 1 of a tile.
template <int kDim>
__device__ void add_rows(float (&sums)[kDim / 8][4], const float (&weights)[2 * kPairs][4],
                         const Bf16* tile, int from) {
#pragma unroll
  for (int k = 0; k < kPairs; ++k) {
    std::uint32_t a[4];
    to_left(a, weights[2 * k], weights[2 * k + 1]);
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {
      std::uint32_t b[4];
      load_right<kDim>(b, tile, from + k * 16, n * 16);
      multiply(sums[2 * n], a, b[0], b[1]);
      multiply(sums[2 * n + 1], a, b[2], b[3]);
    }
  }
}

// The warp's 16 rows of a gradient; which: 0 query, 1 key, 2 value.
template <int kDim>
__device__ void store_gradient(const Backward& args, std::int64_t b, std::int64_t h, int which,
                               std::int64_t first, const float (&sums)[kDim / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const std::int64_t row = first + lane / 4 + r * 8;
    if (row < args.layout.sequence) {
      Bf16* to = args.qkv_gradient + args.layout.qkv(b, row, which, h) + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        store_pair(to + n * 8, sums[n][2 * r], sums[n][2 * r + 1]);
      }
    }
  }
}

template <int kDim>
inline constexpr int kTileSize = kTile* kPitch<kDim>;  // numbers

template <int kDim>
constexpr std::size_t shared_bytes() {
  return 4 * kTileSize<kDim> * sizeof(Bf16) + 2 * kTile * sizeof(float);
}

template <int kDim>
__global__ void __launch_bounds__(kTileThreads) query_gradient_kernel(Backward args) {
  DYNAMIC_SHARED(memory);
  auto* queries = reinterpret_cast<Bf16*>(memory);
  Bf16* out_gradients = queries + kTileSize<kDim>;
  Bf16* keys = out_gradients + kTileSize<kDim>;
  Bf16* values = keys + kTileSize<kDim>;
  const AttentionLayout& layout = args.layout;
  const std::int64_t tile = args.tiles - 1 - blockIdx.x / args.pairs;  // long ones first
  const std::int64_t b = blockIdx.x % args.pairs / layout.heads;
  const std::int64_t h = blockIdx.x % args.pairs % layout.heads;
  const std::int64_t first = tile * kTile;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * kRowsOfWarp;

  load_tile<kDim>(queries, args.qkv + layout.qkv(b, first, 0, h), layout.qkv_stride(),
                  layout.sequence - first);
  load_tile<kDim>(out_gradients, args.out_gradient + layout.out(b, first, h), layout.out_stride(),
                  layout.sequence - first);
  float log_sum[2] = {0, 0};  // of this thread's two rows, to base 2
  float delta[2] = {0, 0};
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const std::int64_t query = first + row + lane / 4 + r * 8;
    if (query < layout.sequence) {
      log_sum[r] = args.saved[layout.statistic(b, query, h)] * kLog2E;
      delta[r] = args.delta[layout.statistic(b, query, h)];
    }
  }
  float sums[kDim / 8][4] = {};
  for (std::int64_t t = 0; t <= tile; ++t) {
    __syncthreads();  // all warps are done with the tiles before these
    const std::int64_t left = layout.sequence - t * kTile;
    load_tile<kDim>(keys, args.qkv + layout.qkv(b, t * kTile, 1, h), layout.qkv_stride(), left);
    load_tile<kDim>(values, args.qkv + layout.qkv(b, t * kTile, 2, h), layout.qkv_stride(), left);
    __syncthreads();
    for (int part = 0; part < kTile; part += kPart) {
      float scores[2 * kPairs][4] = {};
      float slopes[2 * kPairs][4] = {};
      multiply_rows<kDim>(scores, queries, keys, slopes, out_gradients, values, row, part);
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int r = j / 2;
          const int key = part + n * 8 + lane % 4 * 2 + j % 2;
          const bool is_masked = t == tile && key > row + lane / 4 + r * 8;
          const float probability =
              is_masked ? 0.0F : exp2f(scores[n][j] * args.scale * kLog2E - log_sum[r]);
          slopes[n][j] = probability * (slopes[n][j] - delta[r]) * args.scale;
        }
      }
      add_rows<kDim>(sums, slopes, keys, part);
    }
  }
  store_gradient<kDim>(args, b, h, 0, first + row, sums);
}

// Here keys are the rows of the products, queries the columns.
template <int kDim>
__global__ void __launch_bounds__(kTileThreads) key_value_gradient_kernel(Backward args) {
  DYNAMIC_SHARED(memory);
  auto* keys = reinterpret_cast<Bf16*>(memory);
  Bf16* values = keys + kTileSize<kDim>;
  Bf16* queries = values + kTileSize<kDim>;
  Bf16* out_gradients = queries + kTileSize<kDim>;
  auto* log_sums = reinterpret_cast<float*>(out_gradients + kTileSize<kDim>);  // to base 2
  float* deltas = log_sums + kTile;
  const AttentionLayout& layout = args.layout;
  const std::int64_t tile = blockIdx.x / args.pairs;  // the first keys have the most queries
  const std::int64_t b = blockIdx.x % args.pairs / layout.heads;
  const std::int64_t h = blockIdx.x % args.pairs % layout.heads;
  const std::int64_t first = tile * kTile;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp * kRowsOfWarp;

  load_tile<kDim>(keys, args.qkv + layout.qkv(b, first, 1, h), layout.qkv_stride(),
                  layout.sequence - first);
  load_tile<kDim>(values, args.qkv + layout.qkv(b, first, 2, h), layout.qkv_stride(),
                  layout.sequence - first);
  float key_sums[kDim / 8][4] = {};
  float value_sums[kDim / 8][4] = {};
  for (std::int64_t t = tile; t < args.tiles; ++t) {
    __syncthreads();  // all warps are done with the tiles before these
    const std::int64_t left = layout.sequence - t * kTile;
    load_tile<kDim>(queries, args.qkv + layout.qkv(b, t * kTile, 0, h), layout.qkv_stride(), left);
    load_tile<kDim>(out_gradients, args.out_gradient + layout.out(b, t * kTile, h),
                    layout.out_stride(), left);
    for (int i = static_cast<int>(threadIdx.x); i < kTile; i += kTileThreads) {
      const std::int64_t at = layout.statistic(b, t * kTile + i, h);
      log_sums[i] = i < left ? args.saved[at] * kLog2E : 0.0F;
      deltas[i] = i < left ? args.delta[at] : 0.0F;
    }
    __syncthreads();
    for (int part = 0; part < kTile; part += kPart) {
      float scores[2 * kPairs][4] = {};
      float slopes[2 * kPairs][4] = {};
      multiply_rows<kDim>(scores, keys, queries, slopes, values, out_gradients, row, part);
#pragma unroll
      for (int n = 0; n < 2 * kPairs; ++n) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int query = part + n * 8 + lane % 4 * 2 + j % 2;
          const int key = row + lane / 4 + j / 2 * 8;
          const bool is_masked = (t == tile && key > query) || query >= left;
          const float probability =
              is_masked ? 0.0F : exp2f(scores[n][j] * args.scale * kLog2E - log_sums[query]);
          scores[n][j] = probability;
          slopes[n][j] = probability * (slopes[n][j] - deltas[query]) * args.scale;
        }
      }
      add_rows<kDim>(value_sums, scores, out_gradients, part);
      add_rows<kDim>(key_sums, slopes, queries, part);
    }
  }
  store_gradient<kDim>(args, b, h, 1, first + row, key_sums);
  store_gradient<kDim>(args, b, h, 2, first + row, value_sums);
}

// More than 48 KiB of shared memory have to be asked for.
template <int kDim>
void launch_both(cudaStream_t stream, const Backward& args) {
  constexpr std::size_t kBytes = shared_bytes<kDim>();
  allow_shared_bytes(query_gradient_kernel<kDim>, kBytes);
  allow_shared_bytes(key_value_gradient_kernel<kDim>, kBytes);
  const Shape shape{args.pairs * args.tiles, kTileThreads, kBytes};
  launch("attention_gradient, queries", query_gradient_kernel<kDim>, shape, stream, args);
  launch("attention_gradient, keys", key_value_gradient_kernel<kDim>, shape, stream, args);
}

}  // namespace

std::size_t attention_gradient_bytes(const AttentionShape& shape) {
  return static_cast<std::size_t>(shape.tokens() * shape.heads) * sizeof(float);
}

void attention_gradient(cudaStream_t stream, const Tensor& qkv_gradient, const Tensor& out_gradient,
                        const Tensor& out, const Tensor& saved, const Tensor& qkv,
                        const AttentionShape& shape, void* scratch) {
  constexpr const char* kName = "attention_gradient";
  require_attention(kName, shape.head_dim, {qkv_gradient, out_gradient, out, qkv});
  require(kName, saved, Type::fp32);
  const AttentionLayout layout{shape.heads, shape.sequence, shape.head_dim};
  const std::int64_t rows = shape.tokens() * shape.heads;
  auto* delta = static_cast<float*>(scratch);
  launch("attention_gradient, delta", delta_kernel,
         {divide_up(rows, kWarpsOfDelta), kWarpsOfDelta * kWarp}, stream, delta,
         out_gradient.as<Bf16>(), out.as<Bf16>(), layout, rows);
  const Backward args{qkv_gradient.as<Bf16>(),
                      out_gradient.as<Bf16>(),
                      qkv.as<Bf16>(),
                      saved.as<float>(),
                      delta,
                      layout,
                      shape.batch * shape.heads,
                      divide_up(shape.sequence, kTile),
                      1.0F / std::sqrt(static_cast<float>(shape.head_dim))};
  if (shape.head_dim == 64) {
    launch_both<64>(stream, args);
  } else {
    launch_both<128>(stream, args);
  }
}

}  // namespace foretrain::trainer::cuda
