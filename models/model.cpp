// Counts of a whole model: parameters to the digit, matrix-multiply FLOPs by the usual convention.
// SPDX-License-Identifier: Apache-2.0
#include "models/model.hpp"

#include "models/count.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

std::int64_t norms_of_layer(const Model& model) {
  const std::int64_t norms = (model.shared_norm ? 1 : 2) + (model.branch_norms ? 2 : 0);
  return norms * count_norm<std::int64_t>(model);
}

std::size_t last_kind(const Model& model) { return layer_kind(model, model.layers - 1); }

// DeepSeek-V3's report, section 2.2: norms of the stream and of the next token's embedding, a
// projection of both side by side, a layer like the last, and a norm before the shared head.
template <class Number>
Number count_multi_token(const Model& model) {
  if (model.multi_token_predictions == 0) {
    return Number{0};
  }
  const auto hidden = static_cast<Number>(model.hidden);
  const auto layer = static_cast<Number>(layer_count(model, last_kind(model), 1).parameters);
  return static_cast<Number>(model.multi_token_predictions) *
         (2 * hidden * hidden + 3 * count_norm<Number>(model) + layer);
}

template <class Number>
Number count_parameters(const Model& model) {
  const Number norm = count_norm<Number>(model);
  Number layers{0};
  for (std::size_t kind = 0; kind < num_layer_kinds(model); ++kind) {
    layers += static_cast<Number>(layers_of_kind(model, kind)) *
              static_cast<Number>(layer_count(model, kind, 1).parameters);
  }
  return layers + norm + (model.embedding_norm ? norm : Number{0}) +
         count_embeddings<Number>(model) + count_around_tower<Number>(model) +
         count_multi_token<Number>(model);
}

// Tokens that a layer of this kind sees of one sequence, and the length that attention sees.
struct Tokens {
  double all;
  std::int64_t length;
};
Tokens tokens_of(const Model& model, std::size_t kind, std::int64_t sequence_length) {
  if (model.vision && kind == 0) {
    const std::int64_t length = model.vision->tokens();
    return {static_cast<double>(model.vision->images * length), length};
  }
  return {static_cast<double>(sequence_length), sequence_length};
}

// Multiply-adds of the projector for the images of one sequence.
double projector_products(const Model& model) {
  if (!model.vision) {
    return 0;
  }
  const VisionTower& tower = *model.vision;
  const double matrices = static_cast<double>(tower.projector_hidden) *
                          static_cast<double>(tower.hidden * tower.merged_patches + model.hidden);
  return static_cast<double>(tower.language_tokens()) * matrices;
}

}  // namespace

BlockCount layer_count(const Model& model, std::size_t kind, std::int64_t sequence_length) {
  const Model alike = layer_model(model, kind);
  const BlockCount mixer = mixer_of(alike).functions().count(alike, sequence_length);
  const BlockCount other = feed_forward_of(alike).functions().count(alike, sequence_length);
  const std::int64_t norms = norms_of_layer(alike);
  return {mixer.parameters + other.parameters + norms, mixer.visited + other.visited + norms,
          mixer.products + other.products, mixer.core + other.core};
}

double rough_parameters(const Model& model) { return count_parameters<double>(model); }

std::int64_t parameters(const Model& model) { return count_parameters<std::int64_t>(model); }

std::int64_t multi_token_parameters(const Model& model) {
  return count_multi_token<std::int64_t>(model);
}

std::int64_t non_embedding_parameters(const Model& model) {
  return parameters(model) - count_embeddings<std::int64_t>(model);
}

std::int64_t activated_parameters(const Model& model) {
  std::int64_t unvisited = 0;
  for (std::size_t kind = 0; kind < num_layer_kinds(model); ++kind) {
    const BlockCount count = layer_count(model, kind, 1);
    unvisited += layers_of_kind(model, kind) * (count.parameters - count.visited);
  }
  const std::int64_t head = model.vocabulary * model.hidden;
  const std::int64_t positions = model.vision ? model.vision->positions * model.vision->hidden : 0;
  return parameters(model) - multi_token_parameters(model) - unvisited - positions -
         (count_embeddings<std::int64_t>(model) - head);
}

Flops attention_core_flops(const Model& model, std::int64_t sequence_length) {
  double products = 0;
  for (std::size_t kind = 0; kind < num_layer_kinds(model); ++kind) {
    const Tokens tokens = tokens_of(model, kind, sequence_length);
    products += static_cast<double>(layers_of_kind(model, kind)) * tokens.all *
                layer_count(model, kind, tokens.length).core;
  }
  return Flops(2.0 * products);
}

Flops embedding_flops(const Model& model, std::int64_t) {
  if (!model.vision) {
    return Flops(0);
  }
  const VisionTower& tower = *model.vision;
  return Flops(2.0 * static_cast<double>(tower.images * tower.patches) *
               static_cast<double>(tower.patch_elements) * static_cast<double>(tower.hidden));
}

Flops head_flops(const Model& model, std::int64_t sequence_length) {
  const auto hidden = static_cast<double>(model.hidden);
  const auto sequence = static_cast<double>(sequence_length);
  const Flops head(2.0 * sequence * hidden * static_cast<double>(model.vocabulary));
  if (model.multi_token_predictions == 0) {
    return head;
  }
  const BlockCount layer = layer_count(model, last_kind(model), sequence_length);
  const Flops module(2.0 * sequence * (2 * hidden * hidden + layer.products + layer.core));
  return head + static_cast<double>(model.multi_token_predictions) * (module + head);
}

Flops forward_flops(const Model& model, std::int64_t sequence_length) {
  FORETRAIN_ASSERT(sequence_length > 0, "a sequence has tokens");
  double products = projector_products(model);
  for (std::size_t kind = 0; kind < num_layer_kinds(model); ++kind) {
    const Tokens tokens = tokens_of(model, kind, sequence_length);
    products += static_cast<double>(layers_of_kind(model, kind)) * tokens.all *
                layer_count(model, kind, tokens.length).products;
  }
  return Flops(2.0 * products) + attention_core_flops(model, sequence_length) +
         head_flops(model, sequence_length) + embedding_flops(model, sequence_length);
}

}  // namespace foretrain
