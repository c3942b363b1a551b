// What a model file may say, and what is said of a wrong one. Texts are asserted whole.
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

const std::string kTiny = R"(name = "tiny"
source = "a test"
layers = 2
hidden = 64
heads = 4
vocabulary = 128
mlp = "plain"
norm = "layer_norm"
position = "none"
)";

/// The tiny model with `line` (of one key) put in place of the line that begins as `key`.
std::string tiny_with(const std::string& key, const std::string& line) {
  std::string text = kTiny;
  const std::size_t begin = text.find(key);
  return text.replace(begin, text.find('\n', begin) - begin, line);
}

/// The tiny model with lines at its end; they start at line 10.
std::string tiny_and(const std::string& lines) { return kTiny + lines + "\n"; }

TEST_CASE("what a model file leaves out takes the usual value", "[models]") {
  const Model model = model_from_toml(kTiny);
  CHECK(model.kv_heads == 4);
  CHECK(model.head_dim == 16);
  CHECK(model.ffn == 256);
  CHECK(model.rotary_fraction == 1.0);
  CHECK_FALSE(model.qkv_bias);
  CHECK_FALSE(model.tied_embeddings);
  CHECK_FALSE(model.parallel_residual);
  CHECK(model.sliding_window == 0);
  CHECK_FALSE(model.moe);
  CHECK_FALSE(model.published_parameters);
}

TEST_CASE("a model file can say everything", "[models]") {
  const Model model = model_from_toml(R"(
name = "m"
source = "a test"
layers = 2
hidden = 64
heads = 4
kv_heads = 2
head_dim = 32
ffn = 100
vocabulary = 128
mlp = "gated"
norm = "rms_norm"
position = "rotary"
rotary_fraction = 0.25
bias = true
mlp_bias = false
tied_embeddings = true
parallel_residual = true
embedding_norm = true
sliding_window = 16
[mixture_of_experts]
experts = 8
experts_per_token = 2
)");
  CHECK(model.kv_heads == 2);
  CHECK(model.head_dim == 32);
  CHECK(model.ffn == 100);
  CHECK(model.mlp == MlpKind::gated);
  CHECK(model.norm == NormKind::rms_norm);
  CHECK(model.position == PositionKind::rotary);
  CHECK(model.rotary_fraction == 0.25);
  CHECK(model.qkv_bias);
  CHECK(model.attention_output_bias);
  CHECK_FALSE(model.mlp_bias);
  CHECK(model.tied_embeddings);
  CHECK(model.parallel_residual);
  CHECK(model.embedding_norm);
  CHECK(model.sliding_window == 16);
  CHECK(model.moe == MixtureOfExperts{8, 2});
}

TEST_CASE("experts have widths of their own, and company", "[models]") {
  const Model model = model_from_toml(
      tiny_and("[mixture_of_experts]\nexperts = 8\nexperts_per_token = 2\nffn = 32\n"
               "shared_ffn = 64\nshared_gate = true\nmost_nodes = 4"));
  CHECK(model.moe == MixtureOfExperts{8, 2, 32, 64, true, 4});
  CHECK(expert_ffn(model) == 32);
  CHECK(mistakes_in_toml(tiny_and("[mixture_of_experts]\nexperts = 8\nexperts_per_token = 2\n"
                                  "shared_gate = true")) ==
        R"(m.toml:13:15: mixture_of_experts.shared_gate: has no effect without shared_ffn; remove it
  shared_gate = true
                ^)");
}

TEST_CASE("a published size holds to half a unit of its last digit", "[models]") {
  // 2 layers of 12 h^2 + 4 h without biases, the final norm 2 h, and 2 x 128 h:
  // 98,304 + 512 + 128 + 16,384 = 115,328.
  CHECK(mistakes_in_toml(tiny_and("published_size = \"115 k\"")).empty());
  CHECK(mistakes_in_toml(tiny_and("published_size = \"115.3 k\"")).empty());
  CHECK(mistakes_in_toml(tiny_and("published_size = \"0.1 M\"")).empty());
  CHECK(mistakes_in_toml(tiny_and("published_parameters = 115328")).empty());
  CHECK(
      mistakes_in_toml(tiny_and("published_size = \"115.4 k\"")) ==
      R"(m.toml:10:18: published_size: this shape has 115,328 parameters, which does not round to the published size
  published_size = "115.4 k"
                   ^)");
  CHECK(mistakes_in_toml(tiny_and("published_parameters = 115329")) ==
        R"(m.toml:10:24: published_parameters: this shape has 115,328 parameters, not 115,329
  published_parameters = 115329
                         ^)");
  CHECK(
      mistakes_in_toml(tiny_and("published_size = \"many\"")) ==
      R"(m.toml:10:18: published_size: expected a count with a suffix, such as "174.6 G", got "many"
  published_size = "many"
                   ^)");
  CHECK(
      mistakes_in_toml(tiny_and("published_size = \"0 G\"")) ==
      R"(m.toml:10:18: published_size: expected a count with a suffix, such as "174.6 G", got "0 G"
  published_size = "0 G"
                   ^)");
}

TEST_CASE("a size that is missing, mistyped or out of range is named", "[models]") {
  CHECK(mistakes_in_toml(tiny_with("layers", "")) ==
        "m.toml: missing key 'layers' (a whole number from 1 to 100000)");
  CHECK(mistakes_in_toml(tiny_with("layers", "layers = 0")) ==
        R"(m.toml:3:10: layers: expected a whole number from 1 to 100000, got 0
  layers = 0
           ^)");
  CHECK(mistakes_in_toml(tiny_with("layers", "layers = 200000")) ==
        R"(m.toml:3:10: layers: expected a whole number from 1 to 100000, got 200000
  layers = 200000
           ^)");
  CHECK(mistakes_in_toml(tiny_with("layers", "layers = \"2\"")) ==
        R"(m.toml:3:10: layers: expected a whole number from 1 to 100000, got "2" (text)
  layers = "2"
           ^)");
  CHECK(mistakes_in_toml(tiny_with("name", "name = 3")) ==
        R"(m.toml:1:8: name: expected text in quotes, got 3 (a whole number)
  name = 3
         ^)");
  CHECK(mistakes_in_toml(tiny_and("bias = 1")) ==
        R"(m.toml:10:8: bias: expected true or false, got 1 (a whole number)
  bias = 1
         ^)");
}

TEST_CASE("all mistakes of a file are reported at once", "[models]") {
  std::string text = tiny_with("hidden", "hidden = 64.5");
  text.replace(text.find("heads = 4"), 9, "heads = 0");
  CHECK(
      mistakes_in_toml(text) ==
      R"(m.toml:4:10: hidden: expected a whole number from 1 to 1000000, got 64.5 (a number with a fraction)
  hidden = 64.5
           ^
m.toml:5:9: heads: expected a whole number from 1 to 100000, got 0
  heads = 0
          ^)");
}

TEST_CASE("other tools' names for a key are translated", "[models]") {
  CHECK(mistakes_in_toml(tiny_with("layers", "num_hidden_layers = 2")) ==
        R"(m.toml: missing key 'layers' (a whole number from 1 to 100000)
m.toml:3:1: unknown key 'num_hidden_layers'; here it is called 'layers'
  num_hidden_layers = 2
  ^)");
  CHECK(mistakes_in_toml(tiny_with("hidden", "hiden = 64")) ==
        R"(m.toml: missing key 'hidden' (a whole number from 1 to 1000000)
m.toml:4:1: unknown key 'hiden'; did you mean 'hidden'?
  hiden = 64
  ^)");
  CHECK(mistakes_in_toml(tiny_and("num_experts = 8")) ==
        R"(m.toml:10:1: unknown key 'num_experts'; here it is called 'mixture_of_experts.experts'
  num_experts = 8
  ^)");
}

TEST_CASE("a word outside a closed set is answered with the set", "[models]") {
  CHECK(mistakes_in_toml(tiny_with("mlp", "mlp = \"swiglu\"")) ==
        R"(m.toml:7:7: mlp: expected one of plain, gated; got 'swiglu'
  mlp = "swiglu"
        ^)");
  CHECK(
      mistakes_in_toml(tiny_with("norm", "norm = \"layernorm\"")) ==
      R"(m.toml:8:8: norm: expected one of layer_norm, layer_norm_without_bias, rms_norm; got 'layernorm'; did you mean 'layer_norm'?
  norm = "layernorm"
         ^)");
  // What hangs on the wrong word is not judged.
  CHECK(
      mistakes_in_toml(tiny_with("position", "position = \"learnt\"\nmax_positions = 4")) ==
      R"(m.toml:9:12: position: expected one of none, learned, rotary, alibi; got 'learnt'; did you mean 'learned'?
  position = "learnt"
             ^)");
}

TEST_CASE("fields that do not fit each other name both keys", "[models]") {
  CHECK(
      mistakes_in_toml(tiny_with("heads", "heads = 5")) ==
      R"(m.toml:5:9: heads: hidden = 64 is not a multiple of heads = 5; give head_dim if it is not hidden / heads
  heads = 5
          ^)");
  CHECK(
      mistakes_in_toml(tiny_and("kv_heads = 3")) ==
      R"(m.toml:10:12: kv_heads: heads = 4 is not a multiple of kv_heads = 3: each key-value head serves the same number of query heads
  kv_heads = 3
             ^)");
  CHECK(mistakes_in_toml(tiny_with("mlp", "mlp = \"gated\"")) ==
        "m.toml: missing key 'ffn' (a whole number from 1 to 10000000)");
  CHECK(
      mistakes_in_toml(tiny_and("[mixture_of_experts]\nexperts = 2\nexperts_per_token = 3")) ==
      R"(m.toml:12:21: mixture_of_experts.experts_per_token: experts_per_token = 3 is more than experts = 2
  experts_per_token = 3
                      ^)");
  CHECK(
      mistakes_in_toml(tiny_and("[mixture_of_experts]\nnum_experts = 2\nexperts_per_token = 1")) ==
      R"(m.toml:10:1: mixture_of_experts: missing key 'experts' (a whole number from 1 to 100000)
  [mixture_of_experts]
  ^
m.toml:11:1: mixture_of_experts: unknown key 'num_experts'; here it is called 'experts'
  num_experts = 2
  ^)");
}

TEST_CASE("a key that cannot take effect is a mistake", "[models]") {
  CHECK(mistakes_in_toml(tiny_and("max_positions = 5")) ==
        R"(m.toml:10:17: max_positions: has no effect unless position = "learned"; remove it
  max_positions = 5
                  ^)");
  CHECK(mistakes_in_toml(tiny_and("rotary_fraction = 0.5")) ==
        R"(m.toml:10:19: rotary_fraction: has no effect unless position = "rotary"; remove it
  rotary_fraction = 0.5
                    ^)");
  CHECK(mistakes_in_toml(tiny_with("position", "position = \"learned\"")) ==
        "m.toml: missing key 'max_positions' (a whole number from 1 to 1000000000)");
  CHECK(mistakes_in_toml(tiny_with("position", "position = \"rotary\"\nrotary_fraction = 1.5")) ==
        R"(m.toml:10:19: rotary_fraction: expected a number above 0 and at most 1, got 1.5
  rotary_fraction = 1.5
                    ^)");
}

TEST_CASE("a model too large to be counted is refused", "[models]") {
  std::string text = tiny_with("layers", "layers = 100000");
  text.replace(text.find("hidden = 64"), 11, "hidden = 1000000");
  // 1e5 layers of 12 (1e6)^2: 1.2e18.
  CHECK(
      mistakes_in_toml(text) ==
      R"(m.toml:3:10: layers: 100000 layers of hidden = 1000000 make a model of 1.2e+18 parameters; at most 10,000,000,000,000,000 are supported
  layers = 100000
           ^)");
}

}  // namespace
}  // namespace foretrain::testing
