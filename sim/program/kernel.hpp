// The shapes of GPU kernels: what a platform needs to know to say how long one takes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <variant>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

enum class Dtype : std::uint8_t { fp32, tf32, fp16, bf16, fp8, fp4 };
/// Bytes of one element. fp4 is NVFP4: 4 bits and an 8-bit scale shared by 16 elements.
[[nodiscard]] constexpr Bytes size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::fp32:
    case Dtype::tf32:
      return Bytes(4);
    case Dtype::fp16:
    case Dtype::bf16:
      return Bytes(2);
    case Dtype::fp8:
      return Bytes(1);
    case Dtype::fp4:
      return Bytes(0.5625);
  }
  return Bytes(0);
}

/// What a GEMM is for; a weight gradient runs slightly slower than its forward twin.
enum class GemmPass : std::uint8_t { forward, input_gradient, weight_gradient };

/// batch independent products of (m x k) by (k x n); 2 * batch * m * n * k FLOPs. One launch does a
/// batch; a grouped GEMM (the experts of a mixture) launches one kernel per product.
struct Gemm {
  std::int64_t batch = 1;
  std::int64_t m = 1;
  std::int64_t n = 1;
  std::int64_t k = 1;
  Dtype dtype = Dtype::bf16;
  GemmPass pass = GemmPass::forward;
  double output_bytes = 2;  ///< per element: 2 written in 16 bit, 4 accumulated in 16 bit or
                            ///< written in fp32, 8 accumulated into fp32
  bool is_grouped = false;
  auto operator<=>(const Gemm&) const = default;
};

/// The published kernels of the flash family; flash_triton is the Triton kernel of 2023 and
/// flash_cudnn the fused kernel of cuDNN that TransformerEngine calls.
enum class FlashVersion : std::uint8_t { flash1, flash2, flash3, flash_triton, flash_cudnn };

/// A fused attention kernel over `heads` query heads of `batch` sequences.
struct FlashAttention {
  std::int64_t batch = 1;
  std::int64_t heads = 1;
  std::int64_t query_length = 1;
  std::int64_t key_length = 1;
  std::int64_t qk_head_dim = 128;
  std::int64_t v_head_dim = 128;
  bool is_causal = true;
  bool is_backward = false;
  FlashVersion version = FlashVersion::flash2;
  Dtype dtype = Dtype::bf16;
  auto operator<=>(const FlashAttention&) const = default;
};

/// Classes of memory-bound kernels; each has its own achieved share of the HBM bandwidth.
enum class MemoryOp : std::uint8_t { streaming, norm, softmax, rotary, gather };

/// A kernel limited by memory traffic: `bytes` are read and written once. A kernel that gives each
/// row to one block also says how many rows there are and how many elements it handles in each
/// (once for each read and write of one); that bounds it where instructions do.
struct MemoryBound {
  MemoryOp op = MemoryOp::streaming;
  Bytes bytes;
  std::int64_t rows = 0;  ///< 0: not by rows
  double row_elements = 0;
  auto operator<=>(const MemoryBound&) const = default;
};

/// One kernel launch.
struct Kernel {
  NameId name;
  std::variant<Gemm, FlashAttention, MemoryBound> shape;
  auto operator<=>(const Kernel&) const = default;
};

/// Floating-point work as the kernel does it (causal flash kernels skip half the square;
/// their backward does 5 matmuls for 2). Zero for memory-bound kernels.
[[nodiscard]] Flops flops(const Kernel& kernel);

}  // namespace foretrain
