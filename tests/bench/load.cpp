// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load.hpp"

namespace foretrain::bench {
namespace {

const std::string kRoot = FORETRAIN_SOURCE_DIR;

RunFile read(config::Sources& sources, const std::string& directory, const std::string& file) {
  const config::Value root =
      config::parse_toml(sources, file, config::read_file(directory + "/" + file));
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  RunFile run_file = read_run(reader);
  diagnostics.throw_if_any();
  return run_file;
}

Run load(const std::string& directory, const std::string& file) {
  config::Sources sources;
  return resolve(read(sources, directory, file), sources, catalogue(), directory);
}

const std::string kRuns = kRoot + "/tests/bench/runs";

}  // namespace

Catalogue catalogue() {
  return {kRoot + "/models", kRoot + "/platforms", kRoot + "/strategies/stacks"};
}

Run load_example(const std::string& example) {
  return load(kRoot + "/examples/" + example, "run.toml");
}

Run load_run(const std::string& name) { return load(kRuns, name + ".toml"); }

SearchSpace load_space(config::Sources& sources, const std::string& name) {
  return {read(sources, kRuns, name + ".toml"), sources, catalogue(), kRuns};
}

}  // namespace foretrain::bench
