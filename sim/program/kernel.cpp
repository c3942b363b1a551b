// SPDX-License-Identifier: Apache-2.0
#include "sim/program/kernel.hpp"

namespace foretrain {
namespace {

double work(const Gemm& gemm) {
  return 2.0 * static_cast<double>(gemm.batch) * static_cast<double>(gemm.m) *
         static_cast<double>(gemm.n) * static_cast<double>(gemm.k);
}

// Two matmuls forward, five backward (scores again, dV, dP, dQ, dK); a causal kernel skips the
// masked half of the square.
double work(const FlashAttention& flash) {
  const double square =
      static_cast<double>(flash.query_length) * static_cast<double>(flash.key_length);
  const double dims = static_cast<double>(flash.qk_head_dim + flash.v_head_dim);
  const double rows = static_cast<double>(flash.batch) * static_cast<double>(flash.heads);
  return 2.0 * rows * square * dims * (flash.is_causal ? 0.5 : 1.0) *
         (flash.is_backward ? 2.5 : 1.0);
}

double work(const MemoryBound&) { return 0.0; }

}  // namespace

Flops flops(const Kernel& kernel) {
  return std::visit([](const auto& shape) { return Flops(work(shape)); }, kernel.shape);
}

}  // namespace foretrain
