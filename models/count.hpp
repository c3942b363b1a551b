// The parameter count as one formula over any number type: int64 for the exact count, double for
// the check that the exact count fits into int64.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/model.hpp"

namespace foretrain {

template <class Number>
[[nodiscard]] Number count_norm(const Model& model) {
  return static_cast<Number>(model.hidden) *
         static_cast<Number>(model.norm == NormKind::layer_norm ? 2 : 1);
}

template <class Number>
[[nodiscard]] Number count_attention(const Model& model) {
  const auto hidden = static_cast<Number>(model.hidden);
  const auto head_dim = static_cast<Number>(model.head_dim);
  const Number qkv = static_cast<Number>(model.heads + 2 * model.kv_heads) * head_dim;
  const Number inner = static_cast<Number>(model.heads) * head_dim;
  return hidden * qkv + (model.qkv_bias ? qkv : Number{0}) + inner * hidden +
         (model.attention_output_bias ? hidden : Number{0});
}

/// One MLP of this inner width.
template <class Number>
[[nodiscard]] Number count_one_mlp(const Model& model, std::int64_t width) {
  const auto hidden = static_cast<Number>(model.hidden);
  const auto ffn = static_cast<Number>(width);
  const Number into = static_cast<Number>(model.mlp == MlpKind::gated ? 2 : 1) * ffn;
  return (into + ffn) * hidden + (model.mlp_bias ? into + hidden : Number{0});
}

/// All experts, the router and the gate, where there are several.
template <class Number>
[[nodiscard]] Number count_mlp(const Model& model) {
  if (!model.moe) {
    return count_one_mlp<Number>(model, model.ffn);
  }
  const auto hidden = static_cast<Number>(model.hidden);
  const auto experts = static_cast<Number>(model.moe->experts);
  const Number shared =
      model.moe->shared_ffn > 0 ? count_one_mlp<Number>(model, model.moe->shared_ffn) : Number{0};
  return experts * count_one_mlp<Number>(model, expert_ffn(model)) + experts * hidden + shared +
         (model.moe->shared_gate ? hidden : Number{0});
}

/// Token embedding, position table, and the LM head when it has a matrix of its own.
template <class Number>
[[nodiscard]] Number count_embeddings(const Model& model) {
  const auto hidden = static_cast<Number>(model.hidden);
  const auto tables = static_cast<Number>(model.tied_embeddings ? 1 : 2);
  const bool has_table = model.position == PositionKind::learned;
  return tables * static_cast<Number>(model.vocabulary) * hidden +
         (has_table ? static_cast<Number>(model.max_positions) * hidden : Number{0});
}

template <class Number>
[[nodiscard]] Number count_parameters(const Model& model) {
  const Number norm = count_norm<Number>(model);
  const Number layer = count_attention<Number>(model) + count_mlp<Number>(model) + norm + norm;
  return static_cast<Number>(model.layers) * layer + norm +
         (model.embedding_norm ? norm : Number{0}) + count_embeddings<Number>(model);
}

}  // namespace foretrain
