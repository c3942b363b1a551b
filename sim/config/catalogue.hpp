// Folders of data files: gpus/h100-sxm5-80gb.toml is known as "h100-sxm5-80gb".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/config/reader.hpp"
#include "sim/config/value.hpp"

namespace foretrain::config {

/// The names of a folder's .toml files, sorted; none when there is no such folder.
[[nodiscard]] std::vector<std::string> names_in(const std::string& directory);

/// True for a path (it has a slash or ends in .toml or .json) as opposed to a catalogue name.
[[nodiscard]] bool is_path(const std::string& name_or_path);

/// The path of a data file: a path stands for itself, a name is looked up in `directory`. Throws
/// ConfigError, with the nearest name, when there is no such file; `kind` is for its message.
[[nodiscard]] std::string find_file(const std::string& kind, const std::string& name_or_path,
                                    const std::string& directory);

/// Reads a TOML file through `read(Reader&)`, which reports to the reader's diagnostics. The file
/// is called by its name in errors. `overrides`, a table, replaces some of its keys. Throws
/// ConfigError with all its mistakes.
template <class T, class Read>
[[nodiscard]] T load_toml(Sources& sources, const std::string& path, Read read,
                          const Value* overrides = nullptr) {
  Value value = parse_toml(sources, path, read_file(path));
  if (overrides != nullptr) {
    merge(value, *overrides);
  }
  Diagnostics diagnostics;
  Reader reader(value, "", diagnostics);
  T result = read(reader);
  diagnostics.throw_if_any();
  return result;
}

}  // namespace foretrain::config
