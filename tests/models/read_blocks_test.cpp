// The keys of a model file about blocks and layers that differ, and what is said of wrong ones.
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

const std::string kBase = R"(name = "m"
source = "s"
layers = 4
hidden = 256
heads = 8
ffn = 512
vocabulary = 1000
mlp = "gated"
norm = "rms_norm"
position = "rotary"
)";

const std::string kVision = R"([vision]
layers = 2
hidden = 64
heads = 4
image = 28
patch = 14
position = "learned"
class_token = true
merged_patches = 4
projector_hidden = 128
)";

TEST_CASE("a mixer is read with its sizes", "[models]") {
  const Model model = model_from_toml(kBase + R"([mixer]
kind = "latent_attention"
kv_rank = 64
rope_head_dim = 16
value_head_dim = 32
)");
  CHECK(model.mixer == BlockChoice{"latent_attention", {0, 64, 16, 32}});
  CHECK(model.feed_forward == BlockChoice{"mlp", {}});
}

TEST_CASE("an unknown mixer is answered with those that there are", "[models]") {
  CHECK(contains(mistakes_in_toml(kBase + "[mixer]\nkind = \"latent_atention\"\nkv_rank = 64\n"),
                 ("mixer.kind: expected one of attention, latent_attention, "
                  "gated_linear_attention, rwkv_time_mix; got 'latent_atention'")));
  CHECK(contains(mistakes_in_toml(kBase + "[feed_forward]\nkind = \"attention\"\n"),
                 ("feed_forward.kind: expected one of mlp, rwkv_channel_mix; got")));
}

TEST_CASE("a size that a mixer lacks, or has not, is named", "[models]") {
  const std::string mixer = kBase + "[mixer]\nkind = \"latent_attention\"\n";
  CHECK(contains(mistakes_in_toml(mixer + "kv_lora_rank = 64\n"), ("missing key 'kv_rank'")));
  CHECK(contains(mistakes_in_toml(kBase + R"([mixer]
kind = "gated_linear_attention"
key_dim = 100
value_dim = 256
)"),
                 ("key_dim = 100 is not a multiple of heads = 8")));
}

TEST_CASE("layers with experts are named by the first dense ones and by every n-th", "[models]") {
  const Model model = model_from_toml(kBase + R"([mixture_of_experts]
experts = 4
experts_per_token = 2
ffn = 128
dense_layers = 1
every = 2
)");
  CHECK(model.pattern.dense_layers == 1);
  CHECK(model.pattern.experts_every == 2);
  CHECK(num_layer_kinds(model) == 2);
}

TEST_CASE("a pattern of full attention needs something to differ from", "[models]") {
  CHECK(contains(mistakes_in_toml(kBase + "full_attention_every = 2\n"),
                 ("full_attention_every: has no effect when all layers see the whole "
                  "sequence")));
  CHECK(model_from_toml(kBase + "full_attention_every = 2\nsliding_window = 64\n")
            .pattern.full_attention_every == 2);
}

TEST_CASE("a key that means nothing to the model's blocks is refused", "[models]") {
  const std::string linear =
      "[mixer]\nkind = \"gated_linear_attention\"\nkey_dim = 128\nvalue_dim = 256\n";
  for (const char* key : {"qk_norm = true\n", "qkv_bias = true\n", "attention_output_bias = true\n",
                          "bias = true\n", "kv_heads = 4\n"}) {
    INFO(key);
    CHECK(contains(mistakes_in_toml(kBase + key + linear),
                   "has no effect on block 'gated_linear_attention'; remove it"));
    CHECK_FALSE(contains(mistakes_in_toml(kBase + "full_attention_every = 2\n" + key + linear),
                         "has no effect"));
  }
  CHECK(contains(mistakes_in_toml(kBase + "sliding_window = 64\n" + linear),
                 "sliding_window: has no effect on block 'gated_linear_attention'"));
  CHECK(contains(mistakes_in_toml(kBase + linear),
                 "position: has no effect on block 'gated_linear_attention'"));
  CHECK(contains(mistakes_in_toml(kBase + "[feed_forward]\nkind = \"rwkv_channel_mix\"\n"),
                 "unknown key 'mlp'"));
}

TEST_CASE("a norm that has no place is refused", "[models]") {
  CHECK(contains(mistakes_in_toml(kBase + "shared_norm = true\n"),
                 ("shared_norm: has no effect without parallel_residual = true")));
  CHECK(contains(mistakes_in_toml(kBase + "parallel_residual = true\nbranch_norms = true\n"),
                 ("branch_norms: with parallel_residual = true is not modelled")));
}

TEST_CASE("a vision tower's layers come before the model's", "[models]") {
  const Model model = model_from_toml(kBase + kVision);
  REQUIRE(model.vision);
  CHECK(model.layers == 6);
  CHECK(model.vision->patches == 4);
  CHECK(model.vision->positions == 5);
  CHECK(model.vision->patch_elements == 3 * 14 * 14);
  CHECK(model.vision->language_tokens() == 1);
}

TEST_CASE("a vision tower that does not fit together names both keys", "[models]") {
  CHECK(contains(mistakes_in_toml(kBase + "tied_embeddings = true\n" + kVision),
                 ("tied_embeddings: with a vision tower")));
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = kBase + kVision;
    text.replace(text.find(from), from.size(), to);
    return mistakes_in_toml(text);
  };
  CHECK(contains(with("heads = 4", "heads = 5"),
                 ("vision.heads: hidden = 64 is not a multiple of heads = 5")));
  CHECK(contains(with("image = 28", "image = 30"),
                 ("vision.image: image = 30 pixels are not a multiple of patch = 14")));
  CHECK(contains(with("merged_patches = 4", "merged_patches = 3"),
                 ("merged_patches = 3 does not divide the 4 patches of an image")));
}

TEST_CASE("other tools' names for the new keys are answered with ours", "[models]") {
  CHECK(contains(mistakes_in_toml(kBase + "qk_layernorm = true\n"), ("qk_norm")));
  CHECK(contains(mistakes_in_toml(kBase + "num_nextn_predict_layers = 1\n"),
                 ("multi_token_predictions")));
}

}  // namespace
}  // namespace foretrain::testing
