// Parts of the parameter count as formulas over any number type: int64 for the exact count, double
// for the check that the exact count fits into int64.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "models/blocks/catalog.hpp"
#include "models/model.hpp"

namespace foretrain {

template <class Number>
[[nodiscard]] Number count_norm(const Model& model) {
  return static_cast<Number>(model.hidden) *
         static_cast<Number>(model.norm == NormKind::layer_norm ? 2 : 1);
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

/// What a vision tower has beside its layers, with the projector into the language model.
template <class Number>
[[nodiscard]] Number count_around_tower(const Model& model) {
  if (!model.vision) {
    return Number{0};
  }
  const VisionTower& tower = *model.vision;
  const auto hidden = static_cast<Number>(tower.hidden);
  const auto inner = static_cast<Number>(tower.projector_hidden);
  const auto out = static_cast<Number>(model.hidden);
  const Number merged = static_cast<Number>(tower.merged_patches) * hidden;
  const Number rows = static_cast<Number>(tower.patch_elements) +
                      static_cast<Number>(tower.positions) +
                      static_cast<Number>(tower.class_token ? 1 : 0) +
                      static_cast<Number>(tower.patch_norm ? 2 : 0) + static_cast<Number>(2);
  return rows * hidden + (merged * inner + inner) + (inner * out + out);
}

/// The two blocks of a layer of this kind together, and its norms.
[[nodiscard]] BlockCount layer_count(const Model& model, std::size_t kind,
                                     std::int64_t sequence_length);

/// parameters() without the danger of overflow.
[[nodiscard]] double rough_parameters(const Model& model);

}  // namespace foretrain
