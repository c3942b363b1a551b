// Models whose layers differ: which layers are of which kind, and what that does to counts and
// work.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "models/model.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<std::size_t> kinds(const Model& model) {
  std::vector<std::size_t> list;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    list.push_back(layer_kind(model, layer));
  }
  return list;
}

// A tower of 2 layers of 64 before 3 of the language model; an image of 16 patches, of which 4 make
// a token.
Model seeing() {
  Model model = llama(3, 128, 8);
  VisionTower tower;
  tower.layers = 2;
  tower.hidden = 64;
  tower.heads = 4;
  tower.ffn = 256;
  tower.patch_elements = 48;
  tower.patches = 16;
  tower.images = 3;
  tower.merged_patches = 4;
  tower.projector_hidden = 96;
  model.vision = tower;
  model.layers += tower.layers;
  return model;
}

std::vector<Model> models() {
  Model hybrid = mixtral(7, 512, 16);
  hybrid.pattern = {1, 2, 3};
  hybrid.sliding_window = 8192;
  Model linear = llama(8, 512, 16);
  linear.mixer = {"gated_linear_attention", {256, 512, 16}};
  linear.pattern.full_attention_every = 4;
  Model predicting = mixtral(4, 512, 16);
  predicting.pattern.dense_layers = 1;
  predicting.multi_token_predictions = 2;
  return {hybrid, linear, predicting, seeing()};
}

TEST_CASE("layers that are alike are of one kind", "[models]") {
  CHECK(kinds(llama(3, 64, 4)) == std::vector<std::size_t>{0, 0, 0});
  CHECK(num_layer_kinds(llama(3, 64, 4)) == 1);
}

TEST_CASE("the first layers may be dense, and every n-th after them have experts", "[models]") {
  Model model = mixtral(6, 64, 4);
  CHECK(num_layer_kinds(model) == 1);
  model.pattern.dense_layers = 3;
  CHECK(kinds(model) == std::vector<std::size_t>{0, 0, 0, 1, 1, 1});
  CHECK_FALSE(layer_model(model, 0).moe);
  CHECK(layer_model(model, 1).moe);
  model.pattern = {0, 2, 0};
  CHECK(kinds(model) == std::vector<std::size_t>{0, 1, 0, 1, 0, 1});
  CHECK(layers_of_kind(model, 1) == 3);
}

TEST_CASE("the last of every n layers sees the whole sequence", "[models]") {
  Model model = llama(5, 64, 4);
  model.sliding_window = 16;
  model.pattern.full_attention_every = 2;
  CHECK(kinds(model) == std::vector<std::size_t>{0, 1, 0, 1, 0});
  CHECK(layer_model(model, 0).sliding_window == 16);
  CHECK(layer_model(model, 1).sliding_window == 0);
  // Three layers of a band of s w, two of a square: 4 d a (3 s w + 2 s^2).
  CHECK(attention_core_flops(model, 64) == Flops(4.0 * 64 * (3 * 64 * 16 + 2 * 64 * 64)));
}

TEST_CASE("patterns of experts and of windows make up to four kinds", "[models]") {
  Model model = mixtral(12, 64, 4);
  model.sliding_window = 16;
  model.pattern = {1, 2, 3};  // experts in layers 1, 3, 5 ...; whole sequence in 2, 5, 8 ...
  CHECK(kinds(model) == std::vector<std::size_t>{0, 1, 2, 1, 0, 3, 0, 1, 2, 1, 0, 3});
}

TEST_CASE("layers, embedding and head hold the model's parameters, whatever the kinds",
          "[models]") {
  for (Model model : models()) {
    model.vocabulary = 51200;  // 128 rows and a multiple, so that nothing is padded
    const Shard one = shard(1, 512, 1);
    std::int64_t held =
        embedding_work(model, one).parameters + head_work(model, one, true).parameters;
    for (std::int64_t layer = 0; layer < model.layers; ++layer) {
      held += layer_work(model, one, layer_kind(model, layer)).parameters;
    }
    CHECK(held == parameters(model));
    CHECK(activated_parameters(model) < parameters(model));
  }
}

TEST_CASE("layers, embedding and head compute the model's FLOPs, whatever the kinds", "[models]") {
  for (Model model : models()) {
    model.vocabulary = 51200;
    const Shard one = shard(2, 512, 1);
    double sum = gemm_flops(embedding_work(model, one).forward) +
                 gemm_flops(head_work(model, one, true).forward);
    for (std::int64_t layer = 0; layer < model.layers; ++layer) {
      sum += gemm_flops(layer_work(model, one, layer_kind(model, layer)).forward);
    }
    CHECK(sum == Approx(2 * forward_flops(model, 512).value).epsilon(1e-12));
    CHECK(gemm_flops(head_work(model, one, true).forward) ==
          Approx(2 * head_flops(model, 512).value).epsilon(1e-12));
  }
}

TEST_CASE("a prediction module is two norms, a projection, a layer and another norm", "[models]") {
  Model model = llama(4, 512, 16);
  const std::int64_t before = parameters(model);
  const Work layer = layer_work(model, shard(1, 256, 1));
  model.multi_token_predictions = 1;
  CHECK(parameters(model) - before == 2 * 512 * 512 + 3 * 512 + layer.parameters);
  CHECK(multi_token_parameters(model) == parameters(model) - before);
  CHECK(activated_parameters(model) == before - 51200 * 512);
  // The last stage of several holds a copy of the token embedding.
  const Work first = head_work(model, shard(1, 256, 1), true);
  const Work last = head_work(model, shard(1, 256, 1), false);
  CHECK(last.parameters - first.parameters == 51200 * 512);
  CHECK(shares_embedding(model));
}

TEST_CASE("with a vision tower layers hand on streams of their own widths", "[models]") {
  const Model model = seeing();
  CHECK(kinds(model) == std::vector<std::size_t>{0, 0, 1, 2, 2});
  const Shard part = shard(2, 64, 2);
  CHECK(embedding_work(model, part).stream_elements == 2 * 3 * 16 * 64);
  CHECK(layer_work(model, part, 0).stream_elements == 2 * 3 * 16 * 64);
  CHECK(layer_work(model, part, 1).stream_elements == 2 * 64 * 128);
  CHECK(layer_work(model, part, 2).stream_elements == 2 * 64 * 128);
}

TEST_CASE("a vision tower looks at each image by itself, and at all of it", "[models]") {
  Shard part = shard(2, 64, 1);
  part.kernels.attention = AttentionKernel::flash2;
  for (const Step& step : layer_work(seeing(), part, 0).forward) {
    if (const auto* flash = std::get_if<FlashAttention>(&step.what)) {
      CHECK(flash->batch == 6);
      CHECK(flash->query_length == 16);
      CHECK(flash->key_length == 16);
      CHECK_FALSE(flash->is_causal);
    }
  }
  // What its layers cost does not follow the text: 3 images of 16 tokens, two layers of 64.
  const Model model = seeing();
  CHECK(embedding_flops(model, 64) == Flops(2.0 * 48 * 48 * 64));
  CHECK(attention_core_flops(model, 64) ==
        Flops(2.0 * 4 * 3 * 16 * 16 * 64 + 3.0 * 4 * 64 * 64 * 128));
}

TEST_CASE("a window sees the keys that its queries see on average", "[models]") {
  Model model = llama(1, 64, 4);
  model.sliding_window = 64;
  Shard flash = shard(1, 256, 1);
  flash.kernels.attention = AttentionKernel::flash2;
  const auto kernel = [&] {
    for (const Step& step : layer_work(model, flash).forward) {
      if (const auto* found = std::get_if<FlashAttention>(&step.what)) {
        return *found;
      }
    }
    return FlashAttention{};
  };
  // 64 queries see 1 to 64 keys, the others 64: 256 x 64 - 64^2 / 2 pairs, over 256 queries.
  CHECK(kernel().key_length == 56);
  CHECK_FALSE(kernel().is_causal);
  // As wide as the sequence it is the causal triangle.
  model.sliding_window = 256;
  const double triangle = flops(Kernel{NameId(0), kernel()}).value;
  model.sliding_window = 255;
  CHECK(flops(Kernel{NameId(0), kernel()}).value == Approx(triangle).epsilon(0.01));
}

TEST_CASE("branches with one norm enter the region together", "[models]") {
  Model model = neox(1, 512, 8);
  const Work two = layer_work(model, shard(1, 256, 2));
  model.shared_norm = true;
  const Work one = layer_work(model, shard(1, 256, 2));
  CHECK(two.parameters - one.parameters == 2 * 512);
  CHECK(gemm_flops(two.forward) == gemm_flops(one.forward));
  CHECK(gemm_flops(two.backward) == gemm_flops(one.backward));
  const auto boundaries = [](const Work& work) {
    std::string list;
    for (const Step& step : work.backward) {
      if (std::holds_alternative<Boundary>(step.what)) {
        list += std::string(step.name) + " ";
      }
    }
    return list;
  };
  CHECK(boundaries(one) == "leave_tensor_parallel enter_tensor_parallel ");
  CHECK(boundaries(two) == "leave_tensor_parallel enter_tensor_parallel enter_tensor_parallel ");
  CHECK(one.saved.size() + 1 == two.saved.size());  // the MLP's input is the attention's
}

TEST_CASE("norms at the end of branches, and of queries and keys, have their weights", "[models]") {
  Model model = llama(1, 512, 16);
  const std::int64_t plain = layer_work(model, shard(1, 256, 2)).parameters;
  model.branch_norms = true;
  CHECK(layer_work(model, shard(1, 256, 2)).parameters == plain + 2 * 512);
  model.branch_norms = false;
  model.qk_norm = true;
  CHECK(layer_work(model, shard(1, 256, 2)).parameters == plain + 2 * 32);
}

TEST_CASE("ranks that outnumber the key-value heads hold copies of them", "[models]") {
  const Model model = llama(1, 512, 16);  // 4 key-value heads of 32
  const auto held = [&](std::int64_t t) {
    return attention_work(model, shard(1, 256, t)).parameters - 512;
  };
  CHECK(held(4) == (2 * 16 + 2 * 4) / 4 * 32 * 512);
  CHECK(held(8) == (2 * 16 / 8 + 2) * 32 * 512);
}

}  // namespace
}  // namespace foretrain::testing
