// A run file that is right, to be spoilt in one place by each test, and what its reader says then.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value.hpp"
#include "strategies/plan.hpp"
#include "tests/platforms/examples.hpp"

namespace foretrain::testing {

inline constexpr std::string_view kRunFile = R"(model = "gpt-neox-20b"
platform = "dgx-a100-40gb"
nodes = 12

[training]
sequence_length = 2048
global_batch = 1536
micro_batch = 4

[parallel]
tensor = 2
pipeline = 4
)";

inline Catalogue source_catalogue() {
  const std::string root = FORETRAIN_SOURCE_DIR;
  return {root + "/models", root + "/platforms", root + "/strategies/stacks"};
}

/// Reads the text, changed as by --set, as the file run.toml; only its keys.
inline RunFile read_run_text(const std::string& text, config::Sources& sources,
                             const std::vector<std::string>& sets = {}) {
  config::Value root = config::parse_toml(sources, "run.toml", text);
  for (const std::string& set : sets) {
    config::apply_set(sources, root, set);
  }
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  return file;
}

/// Reads and resolves it with the data files of the repository.
inline Run resolve_text(const std::string& text, const std::vector<std::string>& sets = {}) {
  config::Sources sources;
  return resolve(read_run_text(text, sources, sets), sources, source_catalogue(),
                 FORETRAIN_SOURCE_DIR);
}

/// All mistakes of a text as a run file; empty when it is accepted.
inline std::string mistakes_in(const std::string& text) {
  return error_of([&] { return resolve_text(text); });
}

/// All mistakes of kRunFile with its one `from` replaced by `to`.
inline std::string run_error(std::string_view from, std::string_view to) {
  return mistakes_in(spoilt(kRunFile, from, to));
}

}  // namespace foretrain::testing
