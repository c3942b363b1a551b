// SPDX-License-Identifier: Apache-2.0
//
// Muon (Jordan et al. 2024): the momentum of a matrix is orthogonalised by five Newton-Schulz
// iterations in bf16; embeddings, head and vectors are AdamW's.
//
// Where model states are sharded it is the distributed Muon of Liu et al. 2025 ("Muon is Scalable
// for LLM Training", section 2.3): slices stay as ZeRO cuts them, every rank gathers the momentum
// in bf16, orthogonalises whole the matrices that its slice holds a part of, and applies its part.
// Their bound of 1.25 times AdamW's communication is the gather of all matrices, as it is here.
// Tensor-parallel ranks orthogonalise the block that they hold (Megatron-Core's "blockwise").
#include <algorithm>

#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {
namespace {

constexpr int kIterations = 5;
constexpr double kWire = 2;  // bf16

bool is_orthogonalised(const ParameterTensor& tensor) { return tensor.kind == TensorKind::matrix; }

}  // namespace

double muon_state(const ParameterTensor& tensor, const StateSizes& sizes) {
  return is_orthogonalised(tensor) ? sizes.state * tensor.elements() : adam_state(tensor, sizes);
}

// Two passes over a matrix: gradient and momentum make the matrix to orthogonalise, written in
// bf16; the result is read and applied.
double muon_traffic(const ParameterTensor& tensor, const StateSizes& sizes) {
  if (!is_orthogonalised(tensor)) {
    return adam_traffic(tensor, sizes);
  }
  const double passes =
      (sizes.gradient + 2 * sizes.state + kWire) + (kWire + parameter_traffic(sizes));
  return passes * tensor.elements();
}

// r <= c are the sides of X, transposed where it is tall. A = X X', B = b A + c A A, X = a X + B X;
// the last two accumulate onto what they also read.
std::vector<Step> muon_kernels(const ParameterTensor& tensor, std::int64_t batch) {
  std::vector<Step> steps;
  if (!is_orthogonalised(tensor)) {
    return steps;
  }
  const std::int64_t r = std::min(tensor.rows, tensor.columns);
  const std::int64_t c = std::max(tensor.rows, tensor.columns);
  const double elements = static_cast<double>(batch * r) * static_cast<double>(c);
  const auto product = [&](std::string_view name, std::int64_t n, std::int64_t k, double output) {
    steps.push_back({name, Gemm{batch, r, n, k, Dtype::bf16, GemmPass::forward, output}, false});
  };
  // The norm reads, the division reads and writes.
  steps.push_back(
      {"newton_schulz_norm", MemoryBound{MemoryOp::streaming, Bytes(3 * kWire * elements)}, false});
  for (int i = 0; i < kIterations; ++i) {
    product("newton_schulz_gram", r, c, 2);
    product("newton_schulz_square", r, r, 4);
    product("newton_schulz_apply", c, r, 4);
  }
  return steps;
}

OptimizerExchange muon_exchange(const ParameterTensor& tensor) {
  return {is_orthogonalised(tensor) ? kWire * tensor.elements() : 0, 0};
}

}  // namespace foretrain
