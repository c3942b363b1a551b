// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load.hpp"

namespace foretrain::bench {
namespace {

const std::string kRoot = FORETRAIN_SOURCE_DIR;

Run load(const std::string& directory, const std::string& file) {
  config::Sources sources;
  const config::Value root =
      config::parse_toml(sources, file, config::read_file(directory + "/" + file));
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  const RunFile run_file = read_run(reader);
  diagnostics.throw_if_any();
  return resolve(run_file, sources, catalogue(), directory);
}

}  // namespace

Catalogue catalogue() {
  return {kRoot + "/models", kRoot + "/platforms", kRoot + "/strategies/stacks"};
}

Run load_example(const std::string& example) {
  return load(kRoot + "/examples/" + example, "run.toml");
}

Run load_run(const std::string& name) { return load(kRoot + "/tests/bench/runs", name + ".toml"); }

}  // namespace foretrain::bench
