// SPDX-License-Identifier: Apache-2.0
// The two tables are the whole truth; everything below them only looks things up.
#include "tests/support/layers.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace foretrain::testing {
namespace {

// A folder may include itself and what it names here. sim/cli is on top and sees everything.
struct Layer {
  std::string_view folder;
  std::array<std::string_view, 11> below;
};

constexpr std::array<Layer, 13> kLayers = {{
    {"sim/core", {}},
    {"sim/config", {"sim/core"}},
    {"sim/program", {"sim/core", "sim/config"}},
    {"sim/lump", {"sim/core", "sim/config", "sim/program"}},
    {"sim/engine", {"sim/core", "sim/config", "sim/program"}},
    {"sim/report", {"sim/core", "sim/config", "sim/program", "sim/lump", "sim/engine"}},
    {"models", {"sim/core", "sim/config", "sim/program"}},
    {"platforms", {"sim/core", "sim/config", "sim/program"}},
    {"strategies", {"sim/core", "sim/config", "sim/program", "models", "platforms"}},
    {"sim/study",
     {"sim/core", "sim/config", "sim/program", "sim/lump", "sim/engine", "sim/report", "models",
      "platforms", "strategies"}},
    {"validation/trainer",
     {"sim/core", "sim/config", "sim/program", "models", "platforms", "strategies"}},
    {"validation",
     {"sim/core", "sim/config", "sim/program", "sim/lump", "sim/engine", "sim/report", "models",
      "platforms", "strategies", "sim/study"}},
    {"sim/cli",
     {"sim/core", "sim/config", "sim/program", "sim/lump", "sim/engine", "sim/report", "models",
      "platforms", "strategies", "sim/study", "validation"}},
}};

// Third parties that only some folders may know, so that one folder changes when they do.
struct ThirdParty {
  std::string_view prefix;
  std::array<std::string_view, 6> folders;
};

constexpr std::array<ThirdParty, 9> kThirdParties = {{
    {"simgrid/", {"sim/engine"}},
    {"xbt/", {"sim/engine"}},
    {"toml++/", {"sim/config"}},
    {"nlohmann/",
     {"sim/config", "sim/report", "sim/study", "sim/cli", "validation", "validation/trainer"}},
    {"Eigen/", {"validation", "validation/trainer"}},
    {"unsupported/Eigen/", {"validation"}},
    {"CLI/", {"sim/cli", "validation/trainer"}},
    {"SQLiteCpp/", {"sim/study"}},
    {"gloo/", {"validation/trainer"}},
}};

bool is_below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && path.substr(folder.size()).starts_with('/');
}

const Layer* layer_of(std::string_view path) {
  const auto* found = std::find_if(kLayers.begin(), kLayers.end(), [&](const Layer& layer) {
    return is_below(path, layer.folder);
  });
  return found == kLayers.end() ? nullptr : found;
}

bool is_checked(std::string_view path) {
  constexpr std::array<std::string_view, 5> kFolders = {"sim", "models", "platforms", "strategies",
                                                        "validation"};
  return std::any_of(kFolders.begin(), kFolders.end(),
                     [&](std::string_view folder) { return is_below(path, folder); });
}

// The unused places of a table row are empty strings.
std::string names(std::span<const std::string_view> folders) {
  std::string text;
  for (const std::string_view folder : folders) {
    if (!folder.empty()) {
      text += (text.empty() ? "" : ", ") + std::string(folder);
    }
  }
  return text.empty() ? "nothing of ours" : text;
}

bool holds(std::span<const std::string_view> folders, std::string_view folder) {
  return std::find(folders.begin(), folders.end(), folder) != folders.end();
}

// What is wrong with `from` including `include`, if anything is.
std::optional<std::string> fault_of(const Layer& from, const Include& include) {
  if (!include.is_quoted) {
    for (const ThirdParty& party : kThirdParties) {
      if (include.target.starts_with(party.prefix) && !holds(party.folders, from.folder)) {
        return "only " + names(party.folders) + " may include it";
      }
    }
    return std::nullopt;
  }
  const Layer* to = layer_of(include.target);
  if (to == nullptr) {
    return "not a path from the repository root into a layer";
  }
  if (to != &from && !holds(from.below, to->folder)) {
    return std::string(from.folder) + " may include " + names(from.below);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> backward_arrows(std::span<const SourceFile> files) {
  std::vector<std::string> faults;
  for (const SourceFile& file : files) {
    if (!is_code(file) || !is_checked(file.path)) {
      continue;
    }
    const Layer* from = layer_of(file.path);
    if (from == nullptr) {
      faults.push_back(file.path + ": in no layer of tests/support/layers.cpp");
      continue;
    }
    for (const Include& include : includes_of(file)) {
      if (const auto fault = fault_of(*from, include)) {
        faults.push_back(file.path + ":" + std::to_string(include.line) + ": includes " +
                         include.target + ": " + *fault);
      }
    }
  }
  return faults;
}

}  // namespace foretrain::testing
