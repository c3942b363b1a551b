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

namespace foretrain::testing {
namespace {

const std::string kModels = std::string(FORETRAIN_SOURCE_DIR) + "/models";

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
    if (model.published_parameters) {
      CHECK(parameters(model) == *model.published_parameters);
    }
    if (model.published_size) {
      // Half a unit of the last digit printed.
      const double difference =
          std::abs(static_cast<double>(parameters(model)) - model.published_size->value);
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
                                                     {"gpt2", 124'439'808}}));
  INFO(published.name);
  config::Sources sources;
  CHECK(parameters(load_model(sources, published.name, kModels)) == published.parameters);
}

TEST_CASE("the ranks of a layer of every model hold the layer's parameters", "[models]") {
  for (const std::string& name : config::names_in(kModels)) {
    INFO(name);
    config::Sources sources;
    Model model = load_model(sources, name, kModels);
    // Unpadded at t = 1 when the vocabulary is a multiple of 128, so make it one.
    model.vocabulary = padded_vocabulary(model.vocabulary, 1);
    const Shard one = shard(1, 128, 1);
    const std::int64_t held = embedding_work(model, one).parameters +
                              model.layers * layer_work(model, one).parameters +
                              head_work(model, one, true).parameters;
    CHECK(held == parameters(model));
  }
}

}  // namespace
}  // namespace foretrain::testing
