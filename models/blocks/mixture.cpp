// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/mixture.hpp"

#include <algorithm>
#include <cmath>

namespace foretrain::blocks {
namespace {

/// Rows that an expert takes over the mean. With a capacity none takes more: what is above is
/// dropped; or all take as much (Fedus et al. 2022, section 2.2).
double rows_over_mean(const Shard& shard) {
  const ExpertShard& experts = shard.experts;
  const double load = shard.dispatches() ? experts.load : 1;  // all are on every rank
  if (experts.capacity == 0) {
    return load;
  }
  return experts.is_padded ? experts.capacity : std::min(load, experts.capacity);
}

}  // namespace

Routed::Routed(const Model& model, const Shard& shard)
    : tokens(shard.tokens()), experts(model.moe->experts), rows(0), copies(0), arrived(0) {
  double sources = 1;  // ranks whose tokens come here
  if (shard.dispatches()) {
    tokens /= shard.sequence_parallel ? shard.tensor : 1;
    experts /= shard.experts.degree;
    sources = static_cast<double>(shard.experts.degree * shard.expert_tensor());
  }
  ffn = expert_ffn(model) / (shard.dispatches() ? shard.expert_tensor() : shard.tensor);
  const double sent =
      static_cast<double>(tokens * model.moe->experts_per_token) * rows_over_mean(shard);
  rows = static_cast<std::int64_t>(
      std::ceil(sent * sources / static_cast<double>(model.moe->experts)));
  copies = sent * static_cast<double>(model.hidden);
  arrived = copies * static_cast<double>(shard.dispatches() ? shard.expert_tensor() : 1);
}

Linear router_of(const Model& model, const Shard& shard, const Routed& routed) {
  return {{"router", "router_input_gradient", "router_weight_gradient", ""},
          shard.kernels.fp32_router ? Dtype::fp32 : unquantized(shard.dtype),
          1,
          routed.tokens,
          model.moe->experts,
          model.hidden,
          false};
}

// Biases of both layers are held by the experts themselves: one row differs from the next.
Experts experts_of(const Model& model, const Shard& shard, const Routed& routed) {
  const std::int64_t into = model.mlp == MlpKind::gated ? 2 * routed.ffn : routed.ffn;
  return {{{"experts_up", "experts_up_input_gradient", "experts_up_weight_gradient",
            "experts_up_bias_gradient"},
           shard.dtype,
           routed.experts,
           routed.rows,
           into,
           model.hidden,
           model.mlp_bias,
           true},
          {{"experts_down", "experts_down_input_gradient", "experts_down_weight_gradient",
            "experts_down_bias_gradient"},
           shard.dtype,
           routed.experts,
           routed.rows,
           model.hidden,
           routed.ffn,
           model.mlp_bias,
           true},
          routed.arrived / static_cast<double>(model.hidden) * static_cast<double>(routed.ffn)};
}

SharedExperts shared_of(const Model& model, const Shard& shard, const Routed& routed) {
  const std::int64_t ffn = model.moe->shared_ffn / shard.tensor;
  const std::int64_t into = model.mlp == MlpKind::gated ? 2 * ffn : ffn;
  return {{{"shared_experts_up", "shared_experts_up_input_gradient",
            "shared_experts_up_weight_gradient", "shared_experts_up_bias_gradient"},
           shard.dtype,
           1,
           shard.tokens(),
           into,
           model.hidden,
           model.mlp_bias},
          {{"shared_experts_down", "shared_experts_down_input_gradient",
            "shared_experts_down_weight_gradient", "shared_experts_down_bias_gradient"},
           shard.dtype,
           1,
           shard.tokens(),
           model.hidden,
           ffn,
           model.mlp_bias},
          {{"shared_gate", "shared_gate_input_gradient", "shared_gate_weight_gradient", ""},
           unquantized(shard.dtype),
           1,
           routed.tokens,
           1,
           model.hidden,
           false},
          inside(shard, ffn)};
}

}  // namespace foretrain::blocks
