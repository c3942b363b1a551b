// The defaults of the configuration classes of transformers 4.40, from memory; the tests hold each
// class against a published parameter count.
// SPDX-License-Identifier: Apache-2.0
#include "models/hugging_face_classes.hpp"

namespace foretrain {

Model defaults_of(Family family) {
  Model model;
  model.tied_embeddings = family == Family::gpt2;
  if (family == Family::gpt2) {
    model.layers = 12, model.hidden = 768, model.heads = 12;
    model.vocabulary = 50257, model.max_positions = 1024;
    model.position = PositionKind::learned;
    model.qkv_bias = model.attention_output_bias = model.mlp_bias = true;
    return model;
  }
  model.position = PositionKind::rotary;
  if (family == Family::gpt_neox) {
    model.layers = 44, model.hidden = 6144, model.heads = 64, model.ffn = 24576;
    model.vocabulary = 50432;
    model.rotary_fraction = 0.25;
    model.qkv_bias = model.attention_output_bias = model.mlp_bias = true;
    model.parallel_residual = true;
    return model;
  }
  model.norm = NormKind::rms_norm;
  model.mlp = MlpKind::gated;
  model.layers = 32, model.hidden = 4096, model.heads = 32, model.ffn = 14336;
  model.vocabulary = 32000;
  if (family == Family::mistral || family == Family::mixtral) {
    model.kv_heads = 8;
  }
  if (family == Family::mixtral) {
    model.moe = MixtureOfExperts{8, 2};
  }
  if (family == Family::llama) {
    model.ffn = 11008;
  }
  if (family == Family::qwen2) {
    model.ffn = 22016, model.vocabulary = 151936, model.kv_heads = 32;
    model.qkv_bias = true;
  }
  return model;
}

ShapeKeys keys_of(Family family) {
  if (family == Family::gpt2) {
    return {"n_embd", "n_head", "n_head", "", "n_layer"};
  }
  if (family == Family::gpt_neox) {
    return {"hidden_size", "num_attention_heads", "num_attention_heads", "", "num_hidden_layers"};
  }
  return {"hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim",
          "num_hidden_layers"};
}

}  // namespace foretrain
