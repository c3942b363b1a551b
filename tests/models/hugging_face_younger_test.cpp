// A config.json of each of the younger classes with its published count.
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

TEST_CASE("a Qwen3-8B file has the published count", "[models]") {
  const Model model = model_from_json(R"({"model_type": "qwen3", "attention_bias": false,
    "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 151936,
    "max_window_layers": 36, "sliding_window": null, "use_sliding_window": false,
    "tie_word_embeddings": false})");
  CHECK(parameters(model) == 8'190'735'360);
  CHECK(model.qk_norm);
}

TEST_CASE("a Qwen3-235B-A22B file has the published counts", "[models]") {
  const Model model = model_from_json(R"({"model_type": "qwen3_moe", "attention_bias": false,
    "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288,
    "max_window_layers": 94, "mlp_only_layers": [], "moe_intermediate_size": 1536,
    "norm_topk_prob": true, "num_attention_heads": 64, "num_experts": 128,
    "num_experts_per_tok": 8, "num_hidden_layers": 94, "num_key_value_heads": 4,
    "sliding_window": null, "use_sliding_window": false, "vocab_size": 151936})");
  CHECK(parameters(model) == 235'093'634'560);
  CHECK(static_cast<double>(activated_parameters(model)) == Approx(22e9).epsilon(0.03));
}

TEST_CASE("a Gemma-2-27B file has the published count and windows in every other layer",
          "[models]") {
  const Model model = model_from_json(R"({"model_type": "gemma2", "attention_bias": false,
    "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid",
    "final_logit_softcapping": 30.0, "head_dim": 128, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 4608, "intermediate_size": 36864,
    "num_attention_heads": 32, "num_hidden_layers": 46, "num_key_value_heads": 16,
    "query_pre_attn_scalar": 144, "sliding_window": 4096, "vocab_size": 256000})");
  CHECK(parameters(model) == 27'227'128'320);
  CHECK(num_layer_kinds(model) == 2);
  CHECK(layer_model(model, layer_kind(model, 0)).sliding_window == 4096);
  CHECK(layer_model(model, layer_kind(model, 1)).sliding_window == 0);
}

TEST_CASE("a DeepSeek-V3 file has the published counts", "[models]") {
  // 671 B, 37 B activated; the weights hold 256 biases of the router for each of 58 layers more.
  const Model model = model_from_json(R"({"model_type": "deepseek_v3", "attention_bias": false,
    "aux_loss_alpha": 0.001, "ep_size": 1, "first_k_dense_replace": 3, "hidden_size": 7168,
    "intermediate_size": 18432, "kv_lora_rank": 512, "moe_intermediate_size": 2048,
    "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1,
    "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
    "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": true,
    "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
    "v_head_dim": 128, "vocab_size": 129280})");
  CHECK(parameters(model) - multi_token_parameters(model) == 671'026'419'200 - 58 * 256);
  // "36.6B (including 0.9B for the output head)", of the description of the weights.
  CHECK(static_cast<double>(activated_parameters(model)) == Approx(36.6e9).epsilon(0.002));
  // "11.5B unique parameters" are the layer; the projection comes on top.
  CHECK(multi_token_parameters(model) == 11'507'286'016 + 2 * 7168 * 7168 + 3 * 7168);
}

TEST_CASE("the younger classes are the models that their defaults are", "[models]") {
  // Gemma-2-2B, and DeepSeek-V3 without a prediction module.
  CHECK(parameters(model_from_json(R"({"model_type": "gemma2"})")) == 2'614'341'888);
  CHECK(parameters(model_from_json(R"({"model_type": "deepseek_v3", "q_lora_rank": 1536})")) ==
        671'026'404'352);
}

TEST_CASE("what the younger classes have and we do not model is refused with the reason",
          "[models]") {
  CHECK(contains(mistakes_in_json(R"({"model_type": "deepseek_v3"})"),
                 ("missing key 'q_lora_rank'; write 0 for a null")));
  CHECK(contains(mistakes_in_json(
                     R"({"model_type": "deepseek_v3", "q_lora_rank": 0, "attention_bias": true})"),
                 ("biases of latent attention are not modelled")));
  CHECK(contains(
      mistakes_in_json(R"({"model_type": "deepseek_v3", "q_lora_rank": 0, "moe_layer_freq": 2})"),
      ("moe_layer_freq: transformers passes over this key")));
  CHECK(contains(mistakes_in_json(R"({"model_type": "qwen3_moe", "mlp_only_layers": [3]})"),
                 ("single layers without experts are not modelled")));
  CHECK(
      contains(mistakes_in_json(R"({"model_type": "gemma2", "use_bidirectional_attention": true})"),
               ("attention to later tokens is not modelled in this class")));
}

}  // namespace
}  // namespace foretrain::testing
