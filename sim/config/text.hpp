// What the readers of TOML, JSON and assignments share: diagnostics at a place in a text, and the
// checks that every text passes first. Only for the files of this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

/// Tables and arrays within each other, at most; deeper input is a mistake (or an attack on the
/// stack).
inline constexpr int kMaxDepth = 64;

/// The diagnostic with the source line at `position`, cut to a readable width.
[[nodiscard]] Diagnostic diagnose(const Position& position, std::string key, std::string message);
[[noreturn]] void fail_at(const Position& position, std::string message);

/// Keeps the text, without a byte order mark. Throws ConfigError unless it is valid UTF-8.
const Source& add_text(Sources& sources, std::string name, std::string text);

/// Follows a text from its start, counting lines and characters (not bytes).
class Cursor {
 public:
  explicit Cursor(const Source& source) : source_(&source) {}
  [[nodiscard]] bool at_end() const { return offset_ == source_->text.size(); }
  [[nodiscard]] char here() const { return at_end() ? '\0' : source_->text[offset_]; }
  [[nodiscard]] bool starts_with(std::string_view text) const;
  [[nodiscard]] std::size_t offset() const { return offset_; }
  [[nodiscard]] Position position() const { return {source_, line_, column_}; }
  void advance(std::size_t bytes = 1);
  void skip(std::string_view characters);     ///< goes past any of these
  void skip_to(std::string_view characters);  ///< goes to the first of these, or the end

 private:
  const Source* source_;
  std::size_t offset_ = 0;
  int line_ = 1;
  int column_ = 1;
};

/// What no message shows as it is.
[[nodiscard]] bool is_control(char c);

/// `text` as it may stand in a message: valid UTF-8, no control characters, cut at `longest` bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t longest = 60);

/// What was found, for "expected ..., got": `3350 (a whole number)`, `"abc" (text)`, `a table`.
[[nodiscard]] std::string describe(const Value& value);

/// "a, b, c".
[[nodiscard]] std::string join(const std::vector<std::string>& words);

[[nodiscard]] bool is_bare_key(std::string_view key);
/// The key, quoted and escaped as TOML wants it unless it is bare.
[[nodiscard]] std::string toml_key(std::string_view key);
/// "path.key", with the key as TOML wants it.
[[nodiscard]] std::string dotted(std::string_view path, std::string_view key);
[[nodiscard]] std::string toml_string(std::string_view text);
/// The shortest text that reads back as this number, and as a number with a fraction.
[[nodiscard]] std::string toml_number(double number);

}  // namespace foretrain::config
