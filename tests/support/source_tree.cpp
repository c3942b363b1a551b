// SPDX-License-Identifier: Apache-2.0
// Plain text search: no build system and no compiler is asked.
#include "tests/support/source_tree.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>

namespace foretrain::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLicenseLine = "// SPDX-License-Identifier: Apache-2.0";
constexpr int kHeadLines = 8;

bool has_extension(std::string_view path, std::span<const std::string_view> extensions) {
  return std::any_of(extensions.begin(), extensions.end(),
                     [&](std::string_view extension) { return path.ends_with(extension); });
}

bool is_wanted(const std::string& path) {
  constexpr std::array<std::string_view, 8> kExtensions = {".cpp",           ".hpp",  ".cu", ".cuh",
                                                           "CMakeLists.txt", ".toml", ".md", ".sh"};
  return has_extension(path, kExtensions);
}

bool is_skipped_folder(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.starts_with('.') || name.starts_with("build") || name == "corpus";
}

bool is_word_in(std::string_view word, std::string_view text) {
  constexpr std::string_view kSeparators = " \t\n()\"";
  for (std::size_t at = text.find(word); at != std::string_view::npos;
       at = text.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool starts = at == 0 || kSeparators.find(text[at - 1]) != std::string_view::npos;
    const bool stops = end == text.size() || kSeparators.find(text[end]) != std::string_view::npos;
    if (starts && stops) {
      return true;
    }
  }
  return false;
}

// The target of `#include "x"` or `#include <x>`.
std::optional<Include> parse_include(std::string_view line) {
  const auto skip = [&line](std::string_view token) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    const bool is_there = line.starts_with(token);
    line.remove_prefix(is_there ? token.size() : 0);
    return is_there;
  };
  if (!skip("#") || !skip("include") || !skip("")) {
    return std::nullopt;
  }
  const bool is_quoted = line.starts_with('"');
  const std::size_t end = line.find(is_quoted ? '"' : '>', 1);
  if (line.empty() || end == std::string_view::npos) {
    return std::nullopt;
  }
  return Include{.line = 0, .is_quoted = is_quoted, .target = std::string(line.substr(1, end - 1))};
}

struct Head {
  bool has_license = false;
  bool has_comment = false;
};

Head head_of(const SourceFile& file) {
  Head head;
  std::istringstream text(file.text);
  std::string line;
  for (int number = 0; number < kHeadLines && std::getline(text, line); ++number) {
    const bool is_license = line == kLicenseLine;
    head.has_license = head.has_license || is_license;
    head.has_comment = head.has_comment || (line.starts_with("//") && !is_license);
  }
  return head;
}

}  // namespace

std::string read_text(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<SourceFile> read_source_tree(const fs::path& root) {
  std::vector<SourceFile> files;
  for (auto entry = fs::recursive_directory_iterator(root);
       entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->is_directory() && is_skipped_folder(entry->path())) {
      entry.disable_recursion_pending();
      continue;
    }
    const std::string path = entry->path().lexically_relative(root).generic_string();
    if (entry->is_regular_file() && is_wanted(path)) {
      files.push_back({path, read_text(entry->path())});
    }
  }
  std::sort(files.begin(), files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

bool is_code(const SourceFile& file) {
  constexpr std::array<std::string_view, 4> kExtensions = {".cpp", ".hpp", ".cu", ".cuh"};
  return has_extension(file.path, kExtensions);
}

std::vector<Include> includes_of(const SourceFile& file) {
  std::vector<Include> includes;
  std::istringstream text(file.text);
  std::string line;
  for (int number = 1; std::getline(text, line); ++number) {
    if (auto include = parse_include(line)) {
      include->line = number;
      includes.push_back(*std::move(include));
    }
  }
  return includes;
}

std::vector<std::string> unlisted_sources(std::span<const SourceFile> files) {
  std::map<fs::path, std::string_view> lists;
  for (const SourceFile& file : files) {
    if (const fs::path path = file.path; path.filename() == "CMakeLists.txt") {
      lists[path.parent_path()] = file.text;
    }
  }
  std::vector<std::string> faults;
  for (const SourceFile& file : files) {
    if (!file.path.ends_with(".cpp")) {
      continue;
    }
    fs::path folder = fs::path(file.path).parent_path();
    while (!folder.empty() && !lists.contains(folder)) {
      folder = folder.parent_path();
    }
    const std::string name = fs::path(file.path).lexically_relative(folder).generic_string();
    const auto list = lists.find(folder);
    if (list == lists.end() || !is_word_in(name, list->second)) {
      faults.push_back(file.path + ": not listed in " + (folder / "CMakeLists.txt").string());
    }
  }
  return faults;
}

std::vector<std::string> files_without_head(std::span<const SourceFile> files) {
  std::set<std::string_view> paths;
  for (const SourceFile& file : files) {
    paths.insert(file.path);
  }
  std::vector<std::string> faults;
  for (const SourceFile& file : files) {
    if (!is_code(file)) {
      continue;
    }
    const Head head = head_of(file);
    if (!head.has_license) {
      faults.push_back(file.path + ": no line '" + std::string(kLicenseLine) + "' at its head");
    }
    const std::string header = fs::path(file.path).replace_extension(".hpp").generic_string();
    if (!head.has_comment && (header == file.path || !paths.contains(header))) {
      faults.push_back(file.path + ": no comment at its head that says what it is for");
    }
  }
  return faults;
}

std::vector<std::string> lines_beyond_ascii(std::span<const SourceFile> files) {
  std::vector<std::string> faults;
  for (const SourceFile& file : files) {
    const auto wrong = std::find_if(file.text.begin(), file.text.end(), [](char letter) {
      return static_cast<unsigned char>(letter) > 0x7E;
    });
    if (wrong != file.text.end()) {
      const auto line = 1 + std::count(file.text.begin(), wrong, '\n');
      faults.push_back(file.path + ":" + std::to_string(line) + ": not ASCII");
    }
  }
  return faults;
}

}  // namespace foretrain::testing
