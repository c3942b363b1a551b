// Texts and where they come from.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/value.hpp"

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "sim/config/text.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

[[noreturn]] void fail_file(const std::string& path, std::string message) {
  Diagnostic diagnostic;
  diagnostic.file = printable(path, path.size());
  diagnostic.message = std::move(message);
  throw ConfigError({std::move(diagnostic)});
}

}  // namespace

const Source& Sources::add(std::string name, std::string text) {
  return sources_.emplace_back(Source{std::move(name), std::move(text)});
}

std::string read_file(const std::string& path) {
  constexpr std::size_t kLargest = std::size_t{16} << 20;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    fail_file(path, "this is a directory; a file was expected");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    fail_file(path, "cannot be opened: " + std::generic_category().message(errno));
  }
  // Not by file size, which pipes do not have.
  std::string text;
  std::array<char, 65536> block{};
  while (file.read(block.data(), block.size()), file.gcount() > 0) {
    text.append(block.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kLargest) {
      fail_file(path, "larger than 16 MiB, so this is not a configuration file");
    }
  }
  if (file.bad()) {
    fail_file(path, "cannot be read");
  }
  return text;
}

}  // namespace foretrain::config
