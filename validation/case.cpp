// SPDX-License-Identifier: Apache-2.0
#include "validation/case.hpp"

#include <algorithm>
#include <filesystem>

#include "sim/core/error.hpp"
#include "validation/judge.hpp"

namespace foretrain::validation {
namespace {

namespace fs = std::filesystem;

Case load_case(config::Sources& sources, const fs::path& path) {
  Case one;
  one.id = path.stem().string();
  one.origin = path.string();
  one.directory = path.parent_path().string();
  one.run = config::parse_toml(sources, path.string(), config::read_file(path.string()));
  one.group = group_of(one.run);
  return one;
}

}  // namespace

std::vector<Case> load_cases(config::Sources& sources, const std::string& path) {
  if (!fs::is_directory(path)) {
    return {load_case(sources, path)};
  }
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() == ".toml") {
      files.push_back(entry.path());
    }
  }
  if (files.empty()) {
    throw ConfigError({Diagnostic{path, 0, 0, "", "this folder has no .toml files", ""}});
  }
  std::sort(files.begin(), files.end());
  std::vector<Case> cases;
  cases.reserve(files.size());
  for (const fs::path& file : files) {
    cases.push_back(load_case(sources, file));
  }
  return cases;
}

}  // namespace foretrain::validation
