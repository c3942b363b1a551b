// Parameters and FLOPs against the closed forms of the papers.
// SPDX-License-Identifier: Apache-2.0
#include "models/model.hpp"

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

TEST_CASE("a GPT has the parameters of SC'21 equation 2, and its final norm", "[models]") {
  // P = 12 l h^2 (1 + 13 / (12 h) + (V + s) / (12 l h)) = 12 l h^2 + 13 l h + (V + s) h.
  // The paper leaves out the 2 h of the norm after the last layer.
  const std::int64_t h = 4096;
  const std::int64_t l = 36;
  const Model model = gpt(l, h, 32);
  CHECK(parameters(model) == 12 * l * h * h + 13 * l * h + (51200 + 2048) * h + 2 * h);
  CHECK(non_embedding_parameters(model) == 12 * l * h * h + 13 * l * h + 2 * h);
}

TEST_CASE("an untied LM head counts once more, a tied one does not", "[models]") {
  Model model = gpt(2, 64, 4);
  const std::int64_t tied = parameters(model);
  model.tied_embeddings = false;
  CHECK(parameters(model) - tied == 51200 * std::int64_t{64});
  CHECK(non_embedding_parameters(model) ==
        parameters(model) - (2 * 51200 + 2048) * std::int64_t{64});
}

TEST_CASE("experts multiply the MLP and add a router", "[models]") {
  const Model dense = llama(3, 64, 8);
  const Model sparse = mixtral(3, 64, 8);
  // 7 more MLPs of three matrices 64 x 192, and a router 64 x 8, in each of 3 layers.
  CHECK(parameters(sparse) - parameters(dense) == std::int64_t{3} * (7 * 3 * 64 * 192 + 64 * 8));
}

TEST_CASE("a GPT's FLOPs are those of SC'21 equation 3", "[models]") {
  // F = 96 B s l h^2 (1 + s / (6 h) + V / (16 l h)) counts each layer four times (forward, its
  // recomputation, twice in backward) and the logits three times (they are not recomputed):
  // 4 (24 s l h^2 + 4 s^2 l h) + 3 (2 s h V) for one sequence.
  const double s = 2048;
  const double l = 48;
  const double h = 8192;
  const Model model = gpt(48, 8192, 64);
  const Flops head = head_flops(model, 2048);
  const Flops iteration = 4.0 * (forward_flops(model, 2048) - head) + 3.0 * head;
  const double equation = 96 * s * l * h * h * (1 + s / (6 * h) + 51200 / (16 * l * h));
  CHECK(iteration.value == Approx(equation).epsilon(1e-12));
}

TEST_CASE("a GPT's model FLOPs are those of Korthikanti et al. equation 7", "[models]") {
  // 72 B L s h^2 (1 + s / (6 h) + v / (12 h L)): three times the forward pass.
  const double s = 2048;
  const double l = 96;
  const double h = 12288;
  const Model model = gpt(96, 12288, 96);
  const double equation = 72 * l * s * h * h * (1 + s / (6 * h) + 51200 / (12 * h * l));
  CHECK(3.0 * forward_flops(model, 2048).value == Approx(equation).epsilon(1e-12));
}

TEST_CASE("the attention core costs 4 s^2 d a per layer", "[models]") {
  // Two products of s x s by d for each of a heads: 2 * 2 s^2 d a; h = d a.
  CHECK(attention_core_flops(gpt(3, 64, 4), 128) == Flops(3.0 * 4 * 128 * 128 * 64));
}

TEST_CASE("a sliding window makes the attention square a band", "[models]") {
  Model model = llama(1, 64, 4);
  const Flops square = attention_core_flops(model, 128);
  model.sliding_window = 32;
  CHECK(attention_core_flops(model, 128) == square / 4);
  model.sliding_window = 4096;
  CHECK(attention_core_flops(model, 128) == square);
}

TEST_CASE("a token's FLOPs follow the experts it visits, not those there are", "[models]") {
  const Model dense = llama(1, 64, 8);
  const Model sparse = mixtral(1, 64, 8);
  // One more MLP of 3 matrices 64 x 192, and the router's 64 x 8, two FLOPs each, per token.
  CHECK(forward_flops(sparse, 16) - forward_flops(dense, 16) ==
        Flops(16 * 2.0 * (3 * 64 * 192 + 64 * 8)));
}

}  // namespace
}  // namespace foretrain::testing
