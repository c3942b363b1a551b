// Counts of a whole model: parameters to the digit, matrix-multiply FLOPs by the usual convention.
// SPDX-License-Identifier: Apache-2.0
#include "models/model.hpp"

#include <algorithm>

#include "models/count.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

double seen_keys(const Model& model, std::int64_t sequence_length) {
  const std::int64_t window = model.sliding_window;
  return static_cast<double>(window > 0 ? std::min(window, sequence_length) : sequence_length);
}

// Multiply-adds of one token through the weight matrices of one layer.
double layer_products(const Model& model) {
  const auto hidden = static_cast<double>(model.hidden);
  const auto head_dim = static_cast<double>(model.head_dim);
  const double attention =
      hidden * head_dim * static_cast<double>(2 * model.heads + 2 * model.kv_heads);
  const double matrices = model.mlp == MlpKind::gated ? 3.0 : 2.0;
  if (!model.moe) {
    return attention + matrices * hidden * static_cast<double>(model.ffn);
  }
  const std::int64_t visited =
      model.moe->experts_per_token * expert_ffn(model) + model.moe->shared_ffn;
  const std::int64_t routing = model.moe->experts + (model.moe->shared_gate ? 1 : 0);
  return attention + matrices * hidden * static_cast<double>(visited) +
         hidden * static_cast<double>(routing);
}

}  // namespace

std::int64_t parameters(const Model& model) { return count_parameters<std::int64_t>(model); }

std::int64_t non_embedding_parameters(const Model& model) {
  return parameters(model) - count_embeddings<std::int64_t>(model);
}

std::size_t num_layer_kinds(const Model&) { return 1; }

std::size_t layer_kind(const Model& model, std::int64_t layer) {
  FORETRAIN_ASSERT(0 <= layer && layer < model.layers, "a layer of the model");
  return 0;
}

Flops attention_core_flops(const Model& model, std::int64_t sequence_length) {
  const auto sequence = static_cast<double>(sequence_length);
  return Flops(4.0 * static_cast<double>(model.layers) * sequence *
               seen_keys(model, sequence_length) * static_cast<double>(model.head_dim) *
               static_cast<double>(model.heads));
}

Flops head_flops(const Model& model, std::int64_t sequence_length) {
  return Flops(2.0 * static_cast<double>(sequence_length) * static_cast<double>(model.hidden) *
               static_cast<double>(model.vocabulary));
}

Flops forward_flops(const Model& model, std::int64_t sequence_length) {
  FORETRAIN_ASSERT(sequence_length > 0, "a sequence has tokens");
  const Flops layers(2.0 * static_cast<double>(model.layers) *
                     static_cast<double>(sequence_length) * layer_products(model));
  return layers + attention_core_flops(model, sequence_length) + head_flops(model, sequence_length);
}

}  // namespace foretrain
