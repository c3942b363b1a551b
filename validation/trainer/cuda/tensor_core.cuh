// Products of 16 x 16 by 16 x 8 tiles on tensor cores, bf16 in and fp32 out, by the PTX
// instructions whose register layouts are documented (mma.m16n8k16, ldmatrix): the result of one
// product becomes the left side of the next without a way through memory, which nvcuda::wmma cannot
// promise.
// SPDX-License-Identifier: Apache-2.0
//
// Lane l of a warp holds, with g = l / 4 and t = l % 4:
//   left side  (16 x 16): a[0]: row g,     columns 2t, 2t + 1;  a[2]: the same, columns + 8
//                         a[1]: row g + 8, columns 2t, 2t + 1;  a[3]: the same, columns + 8
//   right side (16 x 8):  b[0]: rows 2t, 2t + 1, column g;      b[1]: the same, rows + 8
//   result     (16 x 8):  c[0], c[1]: row g, columns 2t, 2t + 1;  c[2], c[3]: row g + 8
#pragma once

#include <cstdint>

#include "validation/trainer/cuda/launch.cuh"

namespace foretrain::trainer::cuda {

inline constexpr int kTile = 64;          // rows of a tile; each of four warps has 16 of them
inline constexpr int kTileThreads = 128;  // of a block
inline constexpr int kRowsOfWarp = 16;
inline constexpr float kLog2E = 1.4426950408889634F;
inline constexpr float kLn2 = 0.6931471805599453F;

/// Numbers from one row of a tile in shared memory to the next: 16 bytes more than its width, so
/// that eight rows lie in different banks.
template <int kDim>
inline constexpr int kPitch = kDim + 8;

/// Four 8 x 8 matrices of shared memory, of which lane l gives row l % 8 of matrix l / 8.
template <bool kIsTransposed>
__device__ inline void load_matrices(std::uint32_t (&out)[4], const Bf16* row) {
#ifdef FORETRAIN_EMULATED
  emulation::load_matrices(out, row, kIsTransposed);
#else
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (kIsTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  }
#endif
}

/// Left side: rows row .. row + 15, columns column .. column + 15 of a tile.
template <int kDim>
__device__ inline void load_left(std::uint32_t (&a)[4], const Bf16* tile, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int matrix = lane / 8;
  load_matrices<false>(
      a, tile + (row + (matrix % 2) * 8 + lane % 8) * kPitch<kDim> + column + (matrix / 2) * 8);
}

/// Right sides of two products, b[0..1] and b[2..3]: the transposes of rows row .. row + 7 and of
/// row + 8 .. row + 15 of a tile, columns column .. column + 15.
template <int kDim>
__device__ inline void load_transposed(std::uint32_t (&b)[4], const Bf16* tile, int row,
                                       int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int matrix = lane / 8;
  load_matrices<false>(
      b, tile + (row + (matrix / 2) * 8 + lane % 8) * kPitch<kDim> + column + (matrix % 2) * 8);
}

/// Right sides of two products: rows row .. row + 15 of a tile as they are, columns column ..
/// column + 7 and column + 8 .. column + 15.
template <int kDim>
__device__ inline void load_right(std::uint32_t (&b)[4], const Bf16* tile, int row, int column) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int matrix = lane / 8;
  load_matrices<true>(
      b, tile + (row + (matrix % 2) * 8 + lane % 8) * kPitch<kDim> + column + (matrix / 2) * 8);
}

/// c += a b.
__device__ inline void multiply(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) {
#ifdef FORETRAIN_EMULATED
  emulation::multiply(c, a, b0, b1);
#elif __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  __trap();  // no bf16 tensor cores: cuda_device() refuses such a GPU
#endif
}

__device__ inline std::uint32_t pack_pair(float low, float high) {
  const __nv_bfloat162 pair(__float2bfloat16(low), __float2bfloat16(high));
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}

/// Two results side by side (16 x 16) as a left side, rounded to bf16.
__device__ inline void to_left(std::uint32_t (&a)[4], const float (&first)[4],
                               const float (&second)[4]) {
  a[0] = pack_pair(first[0], first[1]);
  a[1] = pack_pair(first[2], first[3]);
  a[2] = pack_pair(second[0], second[1]);
  a[3] = pack_pair(second[2], second[3]);
}

/// A tile of kTile rows from global memory; rows from `rows` on become zero. REQUIRES: rows are
/// aligned to 16 bytes.
template <int kDim>
__device__ inline void load_tile(Bf16* tile, const Bf16* from, std::int64_t stride,
                                 std::int64_t rows) {
  constexpr int kWide = 8;
  constexpr int kPacks = kDim / kWide;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kPacks; i += kTileThreads) {
    const int row = i / kPacks;
    const int column = i % kPacks * kWide;
    uint4 pack{0, 0, 0, 0};
    if (row < rows) {
      pack = *reinterpret_cast<const uint4*>(from + row * stride + column);
    }
    *reinterpret_cast<uint4*>(tile + row * kPitch<kDim> + column) = pack;
  }
}

/// Two numbers of a result to a row of global memory.
__device__ inline void store_pair(Bf16* to, float low, float high) {
  *reinterpret_cast<std::uint32_t*>(to) = pack_pair(low, high);
}

/// Refuses what the kernels of attention cannot do.
void require_attention(const char* name, std::int64_t head_dim,
                       std::initializer_list<Tensor> tensors);

}  // namespace foretrain::trainer::cuda
