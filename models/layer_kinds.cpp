// Which layers of a model are alike, and what a layer of each kind is.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "models/model.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

/// All that may differ between two layers of a model.
struct Traits {
  bool is_vision = false;
  bool is_entry = false;  ///< the first of the language model, which takes the images in
  bool has_experts = false;
  bool is_full = false;
  bool operator==(const Traits&) const = default;
};

std::int64_t tower_layers(const Model& model) { return model.vision ? model.vision->layers : 0; }

Traits traits_of(const Model& model, std::int64_t layer) {
  const LayerPattern& pattern = model.pattern;
  const std::int64_t own = layer - tower_layers(model);
  if (own < 0) {
    return {true, false, false, false};
  }
  return {false, model.vision && own == 0,
          model.moe && own >= pattern.dense_layers && (own + 1) % pattern.experts_every == 0,
          pattern.full_attention_every > 0 && (own + 1) % pattern.full_attention_every == 0};
}

// One of each kind, in the order of their first layers. The pattern repeats after the dense layers
// and the first of the language model.
std::vector<Traits> kinds_of(const Model& model) {
  const LayerPattern& pattern = model.pattern;
  const std::int64_t period =
      std::lcm(pattern.experts_every, std::max<std::int64_t>(1, pattern.full_attention_every));
  const std::int64_t varied = std::min(
      model.layers, tower_layers(model) + std::max<std::int64_t>(1, pattern.dense_layers) + period);
  std::vector<Traits> kinds;
  for (std::int64_t layer = 0; layer < varied; ++layer) {
    const Traits traits = traits_of(model, layer);
    if (std::find(kinds.begin(), kinds.end(), traits) == kinds.end()) {
      kinds.push_back(traits);
    }
  }
  return kinds;
}

void become_vision(Model& model) {
  const VisionTower& tower = *model.vision;
  model.hidden = tower.hidden;
  model.heads = model.kv_heads = tower.heads;
  model.head_dim = tower.hidden / tower.heads;
  model.ffn = tower.ffn;
  model.mlp = MlpKind::plain;
  model.norm = NormKind::layer_norm;
  model.position = tower.positions > 0 ? PositionKind::learned : PositionKind::rotary;
  model.rotary_fraction = 1;
  model.qkv_bias = model.attention_output_bias = model.mlp_bias = true;
  model.parallel_residual = model.shared_norm = model.branch_norms = model.qk_norm = false;
  model.is_causal = false;
  model.mixer = {"attention", {}};
  model.feed_forward = {"mlp", {}};
}

}  // namespace

std::size_t num_layer_kinds(const Model& model) { return kinds_of(model).size(); }

std::size_t layer_kind(const Model& model, std::int64_t layer) {
  const std::vector<Traits> kinds = kinds_of(model);
  const auto found = std::find(kinds.begin(), kinds.end(), traits_of(model, layer));
  FORETRAIN_ASSERT(found != kinds.end(), "the pattern of a model's layers repeats");
  return static_cast<std::size_t>(found - kinds.begin());
}

std::int64_t layers_of_kind(const Model& model, std::size_t kind) {
  const Traits traits = kinds_of(model).at(kind);
  std::int64_t count = 0;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    count += traits_of(model, layer) == traits ? 1 : 0;
  }
  return count;
}

Model layer_model(const Model& model, std::size_t kind) {
  const Traits traits = kinds_of(model).at(kind);
  Model alike = model;
  if (traits.is_vision) {
    become_vision(alike);
  }
  if (traits.is_vision || traits.is_full) {
    alike.sliding_window = 0;
    alike.mixer = {"attention", {}};
  }
  if (!traits.has_experts) {
    alike.moe.reset();
  }
  alike.vision.reset();
  alike.pattern = {};
  return alike;
}

}  // namespace foretrain
