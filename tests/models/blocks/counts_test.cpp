// Conservation: what the ranks compute and hold adds up to what the model has.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<Model> kinds() {
  Model bloom = gpt(5, 1024, 16);
  bloom.position = PositionKind::alibi;
  bloom.max_positions = 0;
  bloom.embedding_norm = true;
  return {gpt(5, 1024, 16), neox(5, 1024, 16), bloom, llama(5, 1024, 32), mixtral(5, 1024, 32)};
}

TEST_CASE("the GEMMs of all layers and the head are the model's forward FLOPs", "[models]") {
  for (const Model& model : kinds()) {
    const Shard one = shard(2, 512, 1);
    const double layers =
        static_cast<double>(model.layers) * gemm_flops(layer_work(model, one).forward);
    const double head = gemm_flops(head_work(model, one, false).forward);
    CHECK(layers + head == Approx(2 * forward_flops(model, 512).value).epsilon(1e-12));
  }
}

TEST_CASE("backward GEMMs do twice the forward work", "[models]") {
  // Each product has the gradients of both of its operands.
  for (const Model& model : kinds()) {
    const Shard two = shard(2, 512, 2);
    const Work layer = layer_work(model, two);
    CHECK(gemm_flops(layer.backward) == 2 * gemm_flops(layer.forward));
    const Work head = head_work(model, two, false);
    CHECK(gemm_flops(head.backward) == 2 * gemm_flops(head.forward));
  }
}

TEST_CASE("tensor parallelism divides the FLOPs of a layer", "[models]") {
  for (const Model& model : kinds()) {
    const double whole = gemm_flops(layer_work(model, shard(1, 512, 1)).forward);
    const double part = gemm_flops(layer_work(model, shard(1, 512, 4)).forward);
    // Every rank runs the router for all tokens: 2 tokens h E.
    const double router = model.moe ? 2.0 * 512 * 1024 * 8 : 0;
    CHECK(4 * (part - router) + router == whole);
  }
}

TEST_CASE("the ranks hold each parameter once but for what is replicated", "[models]") {
  for (const Model& model : kinds()) {
    const std::int64_t t = 4;
    const Shard part = shard(1, 512, t);
    const std::int64_t held = embedding_work(model, part).parameters +
                              model.layers * layer_work(model, part).parameters +
                              head_work(model, part, true).parameters;
    // Replicated: norms, biases added after the sum over ranks, routers, positions.
    const std::int64_t norm = model.norm == NormKind::layer_norm ? 2048 : 1024;
    const std::int64_t biases = model.mlp_bias ? 2 * 1024 : 0;
    const std::int64_t router = model.moe ? 8 * 1024 : 0;
    const std::int64_t replicated = model.layers * (2 * norm + biases + router) + norm +
                                    (model.embedding_norm ? norm : 0) + model.max_positions * 1024;
    CHECK(t * held - (t - 1) * replicated == parameters(model));
  }
}

TEST_CASE("the vocabulary is padded to 128 rows on each rank", "[models]") {
  CHECK(padded_vocabulary(50257, 1) == 50304);  // 393 x 128
  CHECK(padded_vocabulary(50257, 8) == 51200);  // 50 x 1024
  CHECK(padded_vocabulary(51200, 8) == 51200);
  Model model = gpt(1, 64, 8);
  model.vocabulary = 50257;
  CHECK(embedding_work(model, shard(1, 16, 8)).parameters == std::int64_t{6400 + 2048} * 64);
  CHECK(head_work(model, shard(1, 16, 8), false).parameters == (6400 + std::int64_t{2}) * 64);
}

TEST_CASE("a tied head is held only where the embedding is not", "[models]") {
  const Model model = gpt(1, 64, 8);
  CHECK(head_work(model, shard(1, 16, 1), true).parameters == std::int64_t{2} * 64);
  CHECK(head_work(model, shard(1, 16, 1), false).parameters == (51200 + std::int64_t{2}) * 64);
  Model untied = model;
  untied.tied_embeddings = false;
  CHECK(head_work(untied, shard(1, 16, 1), true).parameters == (51200 + std::int64_t{2}) * 64);
}

TEST_CASE("the GEMMs of a llama layer have the shapes that its matrices have", "[models]") {
  // T = 1024 tokens, h 1024, a 32, q 8, d 32, f 3072, t = 4.
  const Work layer = layer_work(llama(1, 1024, 32), shard(2, 512, 4));
  std::vector<Gemm> gemms;
  for (const Step& step : layer.forward) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      gemms.push_back(*gemm);
    }
  }
  const auto gemm = [](std::int64_t batch, std::int64_t m, std::int64_t n, std::int64_t k) {
    return Gemm{batch, m, n, k, Dtype::bf16, GemmPass::forward, 2};
  };
  const std::vector<Gemm> expected = {gemm(1, 1024, (32 + 2 * 8) * 32 / 4, 1024),  // qkv
                                      gemm(2 * 32 / 4, 512, 512, 32),              // scores
                                      gemm(2 * 32 / 4, 512, 32, 512),              // values
                                      gemm(1, 1024, 1024, 1024 / 4),               // projection
                                      gemm(1, 1024, 2 * 3072 / 4, 1024),           // gate and up
                                      gemm(1, 1024, 1024, 3072 / 4)};              // down
  CHECK(gemms == expected);
}

TEST_CASE("experts are grouped GEMMs over equal shares of the routed tokens", "[models]") {
  // 100 tokens to 2 of 8 experts: 25 rows each; of 101 tokens 202 / 8, rounded up to 26.
  const Model model = mixtral(1, 1024, 32);
  for (const auto& [tokens, rows] : {std::pair{100, 25}, std::pair{101, 26}}) {
    for (const Step& step : mlp_work(model, shard(1, tokens, 1)).forward) {
      if (step.name == "experts_up") {
        CHECK(std::get<Gemm>(step.what) ==
              Gemm{8, rows, 6144, 1024, Dtype::bf16, GemmPass::forward, 2, true});
      }
    }
  }
}

TEST_CASE("flash attention is one kernel and skips the masked half", "[models]") {
  Shard flash = shard(2, 512, 4);
  flash.kernels.attention = AttentionKernel::flash2;
  const Work layer = attention_work(gpt(1, 1024, 16), flash);
  std::vector<FlashAttention> kernels;
  for (const Step& step : layer.forward) {
    if (const auto* kernel = std::get_if<FlashAttention>(&step.what)) {
      kernels.push_back(*kernel);
      CHECK(step.is_attention_core);
    }
  }
  REQUIRE(kernels.size() == 1);
  CHECK(kernels[0] ==
        FlashAttention{2, 4, 512, 512, 64, 64, true, false, FlashVersion::flash2, Dtype::bf16});
  Model windowed = gpt(1, 1024, 16);
  windowed.sliding_window = 128;
  for (const Step& step : attention_work(windowed, flash).forward) {
    if (const auto* kernel = std::get_if<FlashAttention>(&step.what)) {
      CHECK(kernel->key_length == 112);  // 128 (1 - 128 / (2 x 512))
      CHECK_FALSE(kernel->is_causal);
    }
  }
}

}  // namespace
}  // namespace foretrain::testing
