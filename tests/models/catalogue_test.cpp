// Conformance of every file in models/: it loads, it is called as its file is, and the formula
// reproduces the published count. Adding a model adds it here.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/catalogue.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "models/model.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"

namespace foretrain::testing {
namespace {

TEST_CASE("every model of the catalogue says its source and has its published count", "[models]") {
  const std::vector<std::string> names = config::names_in(kModels);
  CHECK(names.size() >= 18);
  for (const std::string& name : names) {
    INFO(name);
    config::Sources sources;
    const Model model = load_model(sources, name, kModels);
    CHECK(model.name == name);
    CHECK_FALSE(model.source.empty());
    CHECK((model.published_parameters || model.published_size));
    const std::int64_t count = parameters(model) - multi_token_parameters(model);
    if (model.published_parameters) {
      CHECK(count == *model.published_parameters);
    }
    if (model.published_size) {
      // Half a unit of the last digit printed.
      const double difference = std::abs(static_cast<double>(count) - model.published_size->value);
      CHECK(difference <= model.published_size->tolerance);
    }
  }
}

TEST_CASE("the catalogue's counts are the published ones to the digit", "[models]") {
  struct Published {
    const char* name;
    std::int64_t parameters;
  };
  const auto published = GENERATE(values<Published>({{"gpt-neox-20b", 20'554'567'680},
                                                     {"bloom-176b", 176'247'271'424},
                                                     {"llama-2-7b", 6'738'415'616},
                                                     {"llama-2-13b", 13'015'864'320},
                                                     {"llama-2-70b", 68'976'648'192},
                                                     {"llama-3-8b", 8'030'261'248},
                                                     {"llama-3-70b", 70'553'706'496},
                                                     {"llama-3-405b", 405'853'388'800},
                                                     {"mistral-7b", 7'241'732'096},
                                                     {"mixtral-8x7b", 46'702'792'704},
                                                     {"qwen2-7b", 7'615'616'512},
                                                     {"mpt-7b", 6'649'286'656},
                                                     {"gpt2", 124'439'808},
                                                     {"mixtral-8x22b", 140'620'634'112},
                                                     {"gemma-2-27b", 27'227'128'320},
                                                     {"rwkv-6-3b", 3'099'863'040},
                                                     {"llava-1.5-7b", 7'063'427'072},
                                                     {"llava-1.5-13b", 13'351'494'656},
                                                     {"qwen2-vl-7b", 8'291'375'616},
                                                     {"qwen3-8b", 8'190'735'360},
                                                     {"qwen3-235b-a22b", 235'093'634'560}}));
  INFO(published.name);
  config::Sources sources;
  CHECK(parameters(load_model(sources, published.name, kModels)) == published.parameters);
}

TEST_CASE("what a token is multiplied with is what the papers say is activated", "[models]") {
  struct Published {
    const char* name;
    double activated;
    double tolerance;  // half a unit of the last digit
  };
  // DeepSeek-V3: "36.6B (including 0.9B for the output Head)".
  const auto published = GENERATE(values<Published>({{"deepseek-v3", 36.6e9, 0.05e9},
                                                     {"mixtral-8x7b", 13e9, 0.5e9},
                                                     {"mixtral-8x22b", 39e9, 0.5e9},
                                                     {"qwen3-235b-a22b", 22e9, 0.5e9}}));
  INFO(published.name);
  config::Sources sources;
  const Model model = load_model(sources, published.name, kModels);
  CHECK(std::abs(static_cast<double>(activated_parameters(model)) - published.activated) <=
        published.tolerance);
}

TEST_CASE("the ranks of a layer of every model hold the layer's parameters", "[models]") {
  for (const std::string& name : config::names_in(kModels)) {
    INFO(name);
    config::Sources sources;
    Model model = load_model(sources, name, kModels);
    // Unpadded at t = 1 when the vocabulary is a multiple of 128, so make it one.
    model.vocabulary = padded_vocabulary(model.vocabulary, 1);
    const Shard one = shard(1, 128, 1);
    std::int64_t held =
        embedding_work(model, one).parameters + head_work(model, one, true).parameters;
    for (std::size_t kind = 0; kind < num_layer_kinds(model); ++kind) {
      held += layers_of_kind(model, kind) * layer_work(model, one, kind).parameters;
    }
    CHECK(held == parameters(model));
  }
}

}  // namespace
}  // namespace foretrain::testing
