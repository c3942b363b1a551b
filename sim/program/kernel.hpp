// The shapes of GPU kernels: what a platform needs to know to say how long one takes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <variant>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

enum class Dtype : std::uint8_t { fp32, tf32, fp16, bf16, fp8 };
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
  }
  return Bytes(0);
}

/// What a GEMM is for; a weight gradient runs slightly slower than its forward twin.
enum class GemmPass : std::uint8_t { forward, input_gradient, weight_gradient };

/// batch independent products of (m x k) by (k x n); 2 * batch * m * n * k FLOPs.
struct Gemm {
  std::int64_t batch = 1;
  std::int64_t m = 1;
  std::int64_t n = 1;
  std::int64_t k = 1;
  Dtype dtype = Dtype::bf16;
  GemmPass pass = GemmPass::forward;
  double output_bytes = 2;  ///< per element: 2 written in 16 bit, 4 accumulated in 16 bit or
                            ///< written in fp32, 8 accumulated into fp32
  auto operator<=>(const Gemm&) const = default;
};

enum class FlashVersion : std::uint8_t { flash1, flash2, flash3 };

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

/// A kernel limited by memory traffic: `bytes` are read and written once.
struct MemoryBound {
  MemoryOp op = MemoryOp::streaming;
  Bytes bytes;
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
