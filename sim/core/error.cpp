// How a diagnostic reads, and what a broken invariant throws.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/error.hpp"

#include <utility>

namespace foretrain {

namespace {

/// Blanks up to `column`, keeping tabs so that the caret stands under its character.
/// Columns count characters, so the continuation bytes of UTF-8 take no room.
std::string caret_line(std::string_view excerpt, int column) {
  std::string line;
  int at = 1;
  for (std::size_t i = 0; at < column; ++i) {
    const char c = i < excerpt.size() ? excerpt[i] : ' ';
    if ((static_cast<unsigned char>(c) & 0xc0) == 0x80) {
      continue;
    }
    line += c == '\t' ? '\t' : ' ';
    ++at;
  }
  return line + '^';
}

std::string joined_text(const std::vector<Diagnostic>& diagnostics) {
  FORETRAIN_ASSERT(!diagnostics.empty(), "a ConfigError needs a diagnostic");
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (!text.empty()) {
      text += '\n';
    }
    text += diagnostic.text();
  }
  return text;
}

}  // namespace

std::string Diagnostic::text() const {
  std::string text = file;
  if (line > 0) {
    text += ':' + std::to_string(line) + ':' + std::to_string(column);
  }
  if (!text.empty()) {
    text += ": ";
  }
  if (!key.empty()) {
    text += key + ": ";
  }
  text += message;
  if (line > 0 && !excerpt.empty()) {
    const int under = caret > 0 ? caret : column;
    text += "\n  " + excerpt + "\n  " + caret_line(excerpt, under);
  }
  return text;
}

ConfigError::ConfigError(std::vector<Diagnostic> diagnostics)
    : std::runtime_error(joined_text(diagnostics)), diagnostics_(std::move(diagnostics)) {}

void fail_assertion(const char* condition, std::string_view message, const char* file, int line) {
  throw InternalError(std::string(file) + ':' + std::to_string(line) + ": " + condition + ": " +
                      std::string(message) + " (a bug in foretrain)");
}

}  // namespace foretrain
