// A config.json of each class with its published count, the defaults that files leave out, and what
// is said of a file that cannot be simulated.
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

TEST_CASE("the example's config.json is GPT-NeoX-20B", "[models]") {
  config::Sources sources;
  const Model model = load_model(
      sources, std::string(FORETRAIN_SOURCE_DIR) + "/examples/gpt_neox_20b/config.json", "");
  CHECK(model.name == "gpt_neox_20b");
  CHECK(parameters(model) == 20'554'567'680);
  CHECK(model.parallel_residual);
  CHECK(model.position == PositionKind::rotary);
  CHECK(model.rotary_fraction == 0.25);
  CHECK(model.mlp == MlpKind::plain);
}

TEST_CASE("a class without keys is the model that its defaults are", "[models]") {
  // gpt2: tied, n_inner four times n_embd. gpt_neox: the 20B. llama: the 7B.
  CHECK(parameters(model_from_json(R"({"model_type": "gpt2"})")) == 124'439'808);
  CHECK(parameters(model_from_json(R"({"model_type": "gpt_neox"})")) == 20'554'567'680);
  CHECK(parameters(model_from_json(R"({"model_type": "llama"})")) == 6'738'415'616);
  CHECK(parameters(model_from_json(R"({"model_type": "mistral"})")) == 7'241'732'096);
  CHECK(parameters(model_from_json(R"({"model_type": "mixtral"})")) == 46'702'792'704);
}

TEST_CASE("gpt2 is read under its own names and under the common ones", "[models]") {
  const Model own = model_from_json(R"({"model_type": "gpt2", "n_embd": 1024, "n_layer": 24,
    "n_head": 16, "n_positions": 512, "n_inner": null, "n_ctx": 512, "resid_pdrop": 0.1})");
  const Model common = model_from_json(R"({"model_type": "gpt2", "hidden_size": 1024,
    "num_hidden_layers": 24, "num_attention_heads": 16, "max_position_embeddings": 512})");
  CHECK(own == common);
  CHECK(own.ffn == 4096);
  CHECK(own.tied_embeddings);
  CHECK(own.max_positions == 512);
}

TEST_CASE("a Llama-3-8B file has the published count", "[models]") {
  const Model model = model_from_json(R"({"architectures": ["LlamaForCausalLM"],
    "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 8192, "mlp_bias": false,
    "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "rope_theta": 500000.0, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.0", "use_cache": true, "vocab_size": 128256})");
  CHECK(parameters(model) == 8'030'261'248);
  CHECK(model.kv_heads == 8);
  CHECK(model.name == "test");
}

TEST_CASE("a Qwen2-7B file has the published count and no window", "[models]") {
  const Model model = model_from_json(R"({"model_type": "qwen2", "hidden_size": 3584,
    "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
    "num_key_value_heads": 4, "vocab_size": 152064, "sliding_window": 131072,
    "use_sliding_window": false, "max_window_layers": 28, "tie_word_embeddings": false})");
  CHECK(parameters(model) == 7'615'616'512);
  CHECK(model.sliding_window == 0);
  CHECK(model.qkv_bias);
  CHECK_FALSE(model.attention_output_bias);
}

TEST_CASE("a window counts where the class uses it", "[models]") {
  CHECK(model_from_json(R"({"model_type": "mistral", "sliding_window": 4096})").sliding_window ==
        4096);
  CHECK(model_from_json(R"({"model_type": "mistral", "sliding_window": null})").sliding_window ==
        0);
  CHECK(model_from_json(R"({"model_type": "qwen2", "use_sliding_window": true,
    "sliding_window": 512, "max_window_layers": 0})")
            .sliding_window == 512);
}

TEST_CASE("the rotated share of a head is found under its old and new names", "[models]") {
  for (const char* key :
       {R"("rotary_pct": 0.5)", R"("partial_rotary_factor": 0.5)",
        R"("rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 1})"}) {
    INFO(key);
    CHECK(model_from_json(std::string(R"({"model_type": "gpt_neox", )") + key + "}")
              .rotary_fraction == 0.5);
  }
}

TEST_CASE("head_dim need not be hidden_size / num_attention_heads", "[models]") {
  const Model model = model_from_json(
      R"({"model_type": "llama", "head_dim": 256, "num_attention_heads": 24,
          "num_key_value_heads": 8})");
  CHECK(model.head_dim == 256);
}

TEST_CASE("a class that cannot be read is answered with those that can", "[models]") {
  CHECK(mistakes_in_json("{}") ==
        "config.json: missing key 'model_type' (one of gpt2, gpt_neox, llama, mistral, mixtral, "
        "qwen2, qwen3, qwen3_moe, gemma2, deepseek_v3)");
  CHECK(
      mistakes_in_json(R"({"model_type": "mpt", "n_layers": 32})") ==
      R"(config.json:1:16: model_type: expected one of gpt2, gpt_neox, llama, mistral, mixtral, qwen2, qwen3, qwen3_moe, gemma2, deepseek_v3; got 'mpt'
  {"model_type": "mpt", "n_layers": 32}
                 ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "llava", "text_config": {}})") ==
      R"(config.json:1:40: text_config: a multimodal model keeps its language model in here; only the language model can be simulated: save this table as a file of its own
  {"model_type": "llava", "text_config": {}}
                                         ^)");
}

TEST_CASE("a config.json with what is not modelled is refused with the reason", "[models]") {
  CHECK(
      mistakes_in_json(R"({"model_type": "llama", "quantization_config": {"bits": 4}})") ==
      R"(config.json:1:48: quantization_config: training on quantised weights is not modelled; remove this table to simulate the model in the run's precision
  {"model_type": "llama", "quantization_config": {"bits": 4}}
                                                 ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "llama", "auto_map": {"a": "b"}})") ==
      R"(config.json:1:37: auto_map: names Python code that replaces the class of model_type; what it computes cannot be known from this file
  {"model_type": "llama", "auto_map": {"a": "b"}}
                                      ^)");
  CHECK(mistakes_in_json(R"({"model_type": "gpt2", "add_cross_attention": true})") ==
        R"(config.json:1:47: add_cross_attention: cross attention is not modelled
  {"model_type": "gpt2", "add_cross_attention": true}
                                                ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "qwen2", "use_sliding_window": true})") ==
      R"(config.json:1:47: use_sliding_window: max_window_layers = 28 of num_hidden_layers = 32 see the whole sequence and the others a window; layers that differ are not modelled
  {"model_type": "qwen2", "use_sliding_window": true}
                                                ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "mistral", "attention_bias": true})") ==
      R"(config.json:1:45: attention_bias: transformers passes over this key in this class; remove it, or name a class that has it, such as llama
  {"model_type": "mistral", "attention_bias": true}
                                              ^)");
}

TEST_CASE("an unknown key of a config.json is a mistake, not ignored", "[models]") {
  CHECK(mistakes_in_json(R"({"model_type": "llama", "hidden_sizes": 4096})") ==
        R"(config.json:1:25: unknown key 'hidden_sizes'; did you mean 'hidden_size'?
  {"model_type": "llama", "hidden_sizes": 4096}
                          ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "gpt_neox", "num_key_value_heads": 8})") ==
      R"(config.json:1:28: unknown key 'num_key_value_heads'; the keys here are attention_bias, hidden_size, intermediate_size, model_type, num_attention_heads, num_hidden_layers, partial_rotary_factor, rope_parameters, rotary_pct, tie_word_embeddings, use_parallel_residual, vocab_size
  {"model_type": "gpt_neox", "num_key_value_heads": 8}
                             ^)");
}

TEST_CASE("sizes of a config.json that do not fit each other name both keys", "[models]") {
  CHECK(mistakes_in_json(R"({"model_type": "gpt2", "n_embd": 768, "hidden_size": 1024})") ==
        R"(config.json:1:54: hidden_size: 1024 contradicts n_embd = 768
  {"model_type": "gpt2", "n_embd": 768, "hidden_size": 1024}
                                                       ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "llama", "num_attention_heads": 33})") ==
      R"(config.json:1:48: num_attention_heads: hidden_size = 4096 is not a multiple of num_attention_heads = 33; give head_dim if it is not hidden_size / num_attention_heads
  {"model_type": "llama", "num_attention_heads": 33}
                                                 ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "llama", "num_key_value_heads": 5})") ==
      R"(config.json:1:48: num_key_value_heads: num_attention_heads = 32 is not a multiple of num_key_value_heads = 5: each key-value head serves the same number of query heads
  {"model_type": "llama", "num_key_value_heads": 5}
                                                 ^)");
  CHECK(mistakes_in_json(R"({"model_type": "gpt2", "n_head": 7})") ==
        R"(config.json:1:34: n_head: n_embd = 768 is not a multiple of n_head = 7
  {"model_type": "gpt2", "n_head": 7}
                                   ^)");
  CHECK(
      mistakes_in_json(R"({"model_type": "mixtral", "num_experts_per_tok": 9})") ==
      R"(config.json:1:50: num_experts_per_tok: num_experts_per_tok = 9 is more than num_local_experts = 8
  {"model_type": "mixtral", "num_experts_per_tok": 9}
                                                   ^)");
}

TEST_CASE("a size of a config.json out of range is named with its limits", "[models]") {
  CHECK(
      mistakes_in_json(R"({"model_type": "llama", "vocab_size": "many"})") ==
      R"(config.json:1:39: vocab_size: expected a whole number from 1 to 100000000, got "many" (text)
  {"model_type": "llama", "vocab_size": "many"}
                                        ^)");
  CHECK(mistakes_in_json(R"({"model_type": "llama", "num_hidden_layers": -1})") ==
        R"(config.json:1:46: num_hidden_layers: expected a whole number from 1 to 100000, got -1
  {"model_type": "llama", "num_hidden_layers": -1}
                                               ^)");
  CHECK(mistakes_in_json(R"({"model_type": "gpt_neox", "rotary_pct": 2})") ==
        R"(config.json:1:42: rotary_pct: expected a number above 0 and at most 1, got 2
  {"model_type": "gpt_neox", "rotary_pct": 2}
                                           ^)");
  CHECK(mistakes_in_json("[1]") == R"(config.json:1:1: expected a JSON object
  [1]
  ^)");
}

}  // namespace
}  // namespace foretrain::testing
