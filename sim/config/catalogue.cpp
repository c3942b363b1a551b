// SPDX-License-Identifier: Apache-2.0
#include "sim/config/catalogue.hpp"

#include <algorithm>
#include <filesystem>

#include "sim/core/suggest.hpp"

namespace foretrain::config {
namespace {

[[noreturn]] void fail(std::string message) {
  throw ConfigError({Diagnostic{"", 0, 0, "", std::move(message), ""}});
}

std::string unknown_name(const std::string& kind, const std::string& name,
                         const std::vector<std::string>& known) {
  std::string message = "no " + kind + " is called '" + name + "'";
  if (const auto near = nearest(name, known)) {
    return message + "; did you mean '" + *near + "'?";
  }
  message += "; there are";
  for (const std::string& other : known) {
    message += (&other == &known.front() ? " " : ", ") + other;
  }
  return message;
}

}  // namespace

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(directory, missing)) {
    if (entry.path().extension() == ".toml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_path(const std::string& name_or_path) {
  return name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".toml") ||
         name_or_path.ends_with(".json");
}

std::string find_file(const std::string& kind, const std::string& name_or_path,
                      const std::string& directory) {
  if (is_path(name_or_path)) {
    if (!std::filesystem::exists(name_or_path)) {
      fail("there is no file '" + name_or_path + "'");
    }
    return name_or_path;
  }
  const std::vector<std::string> known = names_in(directory);
  if (std::find(known.begin(), known.end(), name_or_path) == known.end()) {
    fail(unknown_name(kind, name_or_path, known));
  }
  return directory + "/" + name_or_path + ".toml";
}

}  // namespace foretrain::config
