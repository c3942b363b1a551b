// The table of optimizers.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string>

#include "sim/core/table.hpp"
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<OptimizerAlgorithm, 9> kOptimizers = {{
    {"adam", "Momentum and variance: 8 bytes of state per parameter", adam_state, adam_traffic},
    {"adamw", "Adam with decoupled weight decay, which costs nothing: 8 bytes", adam_state, adam_traffic},
    {"adam-8bit", "Adam with block-wise quantised moments: 2 bytes, embeddings 8", adam_8bit_state, adam_8bit_traffic},
    {"sgd", "Stochastic gradient descent: no state", sgd_state, sgd_traffic},
    {"sgd-momentum", "Stochastic gradient descent with momentum: 4 bytes", sgd_momentum_state, sgd_momentum_traffic},
    {"lion", "Sign of an interpolated momentum: 4 bytes", lion_state, lion_traffic},
    {"adafactor", "Variance of a matrix as its row and column sums, no momentum: r + c numbers", adafactor_state, adafactor_traffic, nullptr, adafactor_exchange},
    {"muon", "Orthogonalised momentum of matrices, 5 Newton-Schulz iterations: 4 bytes; AdamW elsewhere", muon_state, muon_traffic, muon_kernels, muon_exchange},
    {"lamb", "Adam scaled by the norms of each tensor: 8 bytes", lamb_state, lamb_traffic, nullptr, lamb_exchange},
}};
// clang-format on

}  // namespace

std::span<const OptimizerAlgorithm> optimizers() { return kOptimizers; }

const OptimizerAlgorithm& optimizer(std::string_view name) {
  return row_named(kOptimizers, name, "optimizer");
}

}  // namespace foretrain
