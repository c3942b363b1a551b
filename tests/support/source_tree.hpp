// Reads the project's own sources, so that tests can hold them to the rules of CONTRIBUTING.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace foretrain::testing {

struct SourceFile {
  std::string path;  ///< from the repository root, with forward slashes
  std::string text;
};

/// One #include of a file, with the brackets or quotes taken off.
struct Include {
  int line = 0;
  bool is_quoted = false;
  std::string target;
};

/// The text of one file, or "" where there is none.
[[nodiscard]] std::string read_text(const std::filesystem::path& file);

/// C++ and CUDA sources, CMakeLists.txt, *.toml, *.md and *.sh under `root`, sorted by path;
/// without build folders, hidden folders and folders named corpus (whose files are wrong on
/// purpose).
[[nodiscard]] std::vector<SourceFile> read_source_tree(const std::filesystem::path& root);

/// Whether the file is compiled: .cpp .hpp .cu .cuh.
[[nodiscard]] bool is_code(const SourceFile& file);

[[nodiscard]] std::vector<Include> includes_of(const SourceFile& file);

// Each of these returns one sentence per fault, and nothing when all is well.

/// Every .cpp is named, by its path from there, in the nearest CMakeLists.txt above it.
[[nodiscard]] std::vector<std::string> unlisted_sources(std::span<const SourceFile> files);

/// Every code file has the SPDX line within its first lines, and a comment that says what it is
/// for, there or in its own header.
[[nodiscard]] std::vector<std::string> files_without_head(std::span<const SourceFile> files);

/// Every file is ASCII.
[[nodiscard]] std::vector<std::string> lines_beyond_ascii(std::span<const SourceFile> files);

}  // namespace foretrain::testing
