// A published measurement as a run file with a [measured] table.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/config/value.hpp"

namespace foretrain::validation {

/// A case before it is simulated. Where it cannot be said in a run file, `refusal` says why.
struct Case {
  std::string id;         ///< name of the file without .toml, or the id of the row of a table
  std::string origin;     ///< what errors call it: the path, or "table.csv:12 (id)"
  std::string directory;  ///< paths in the run file are relative to it
  config::Value run;      ///< the tree of the run file
  std::string group;      ///< source and software, for statistics
  std::string refusal;

  [[nodiscard]] bool is_expressible() const { return refusal.empty(); }
};

/// Reads a run file, or every *.toml of a folder in the order of their names. The texts are kept in
/// `sources`. Throws ConfigError.
[[nodiscard]] std::vector<Case> load_cases(config::Sources& sources, const std::string& path);

}  // namespace foretrain::validation
