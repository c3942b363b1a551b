// How a model is found: by name, by path, by folder.
// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "models/model.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"

namespace foretrain::testing {
namespace {

std::string refusal_of(const std::string& name) {
  config::Sources sources;
  try {
    static_cast<void>(load_model(sources, name, kModels));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a model is found by name, by path, and by the folder of its config.json", "[models]") {
  config::Sources sources;
  const Model by_name = load_model(sources, "gpt-neox-20b", kModels);
  CHECK(load_model(sources, kModels + "/gpt-neox-20b.toml", "") == by_name);
  Model by_folder = load_model(sources, kRoot + "/examples/gpt_neox_20b", "");
  CHECK(by_folder.name == "gpt_neox_20b");
  // The same architecture, but a config.json has neither our name nor a citation or a count.
  by_folder.name = by_name.name;
  by_folder.source = by_name.source;
  by_folder.published_parameters = by_name.published_parameters;
  CHECK(by_folder == by_name);
}

TEST_CASE("an unknown model is answered with the nearest name", "[models]") {
  CHECK(refusal_of("gpt-neox-20") ==
        "no model is called 'gpt-neox-20'; did you mean "
        "'gpt-neox-20b'?");
  CHECK(refusal_of("no/such.toml") == "there is no file 'no/such.toml'");
}

}  // namespace
}  // namespace foretrain::testing
