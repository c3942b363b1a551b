// The defaults of the configuration classes of transformers 4.40, from memory, and of the younger
// ones (qwen3, qwen3_moe, gemma2, deepseek_v3) as release 5 has them; the tests hold each class
// against a published parameter count.
// SPDX-License-Identifier: Apache-2.0
#include "models/hugging_face_classes.hpp"

#include <fmt/format.h>

namespace foretrain {
namespace {

using config::Reader;

void complete_younger(Family family, Model& model) {
  model.qk_norm = family == Family::qwen3 || family == Family::qwen3_moe;
  if (family == Family::qwen3) {
    model.head_dim = 128;
  }
  if (family == Family::qwen3_moe) {
    model.layers = 24, model.hidden = 2048, model.heads = 32, model.kv_heads = 4;
    model.ffn = 6144, model.vocabulary = 151936;
    model.moe = MixtureOfExperts{128, 8, 768};
  }
  if (family == Family::gemma2) {
    model.layers = 26, model.hidden = 2304, model.heads = 8, model.kv_heads = 4;
    model.head_dim = 256, model.ffn = 9216, model.vocabulary = 256000;
    model.tied_embeddings = model.branch_norms = true;
    model.sliding_window = 4096, model.pattern.full_attention_every = 2;
  }
  if (family == Family::deepseek_v3) {
    model.layers = 61, model.hidden = 7168, model.heads = 128, model.kv_heads = 128;
    model.head_dim = 128, model.ffn = 18432, model.vocabulary = 129280;
    model.moe = MixtureOfExperts{256, 8, 2048};
    model.pattern.dense_layers = 3;
  }
}

}  // namespace

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
  if (family == Family::qwen2 || family == Family::qwen3) {
    model.ffn = 22016, model.vocabulary = 151936, model.kv_heads = 32;
    model.qkv_bias = family == Family::qwen2;
  }
  complete_younger(family, model);
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

// A JSON null reaches us as an absent key, and only null says that queries are not compressed.
void read_latent_attention(Reader& reader, Model& model) {
  const auto query_rank = reader.maybe_count("q_lora_rank", {0, kHidden.most});
  if (!query_rank) {
    reader.fail("q_lora_rank",
                "missing key 'q_lora_rank'; write 0 for a null, which means that "
                "queries are not compressed");
  }
  model.mixer = {
      "latent_attention",
      {query_rank.value_or(0), reader.count("kv_lora_rank", 512, kHidden),
       reader.count("qk_rope_head_dim", 64, kHeadDim), reader.count("v_head_dim", 128, kHeadDim)}};
  model.head_dim = reader.count("qk_nope_head_dim", 128, kHeadDim);
  model.multi_token_predictions = reader.count("num_nextn_predict_layers", 0, {0, 100});
}

void read_expert_layers(Reader& reader, Family family, Model& model) {
  MixtureOfExperts& moe = *model.moe;
  moe.ffn = reader.count("moe_intermediate_size", moe.ffn, kFfn);
  if (family == Family::qwen3_moe) {
    model.pattern.experts_every = reader.count("decoder_sparse_step", 1, kLayers);
    // Only an empty list passes as one of tables.
    const std::size_t before = reader.diagnostics().size();
    if (!reader.children("mlp_only_layers").empty() || reader.diagnostics().size() != before) {
      reader.fail("mlp_only_layers",
                  "single layers without experts are not modelled; only those "
                  "that decoder_sparse_step names are");
    }
    return;
  }
  moe.shared_ffn = moe.ffn * reader.count("n_shared_experts", 1, {0, 1000});
  model.pattern.dense_layers = reader.count("first_k_dense_replace", 3, {0, kLayers.most});
  if (reader.count("moe_layer_freq", 1, kLayers) != 1) {
    reader.fail("moe_layer_freq",
                "transformers passes over this key and gives experts to all "
                "layers after the first; remove it");
  }
}

}  // namespace foretrain
