// Places in texts, and how found things are named in messages.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/text.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace foretrain::config {

namespace {

constexpr std::size_t kExcerptWidth = 100;

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }
/// Length of the UTF-8 sequence at `text`; 0 when it is not one (overlong forms and surrogates
/// too).
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t length = lead < 0x80    ? 1
                             : lead < 0xc2  ? 0
                             : lead < 0xe0  ? 2
                             : lead < 0xf0  ? 3
                             : lead <= 0xf4 ? 4
                                            : 0;
  if (length > text.size()) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) {
      return 0;
    }
  }
  const bool is_bad = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
                      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f);
  return is_bad ? 0 : length;
}

std::string_view line_of(std::string_view text, int line) {
  for (int i = 1; i < line; ++i) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      return {};
    }
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) {
    text.remove_suffix(1);
  }
  return text;
}

/// Byte offset of the character at `column` (from 1).
std::size_t offset_of(std::string_view line, int column) {
  std::size_t at = 0;
  for (int i = 1; i < column && at < line.size(); ++i) {
    ++at;
    while (at < line.size() && is_continuation(line[at])) {
      ++at;
    }
  }
  return at;
}

/// Control characters could steer a terminal, and bytes that are not UTF-8 would spoil a report.
std::string with_safe_characters(std::string_view text, std::string_view kept) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text.substr(at));
    const bool is_safe = length > 1 || (length == 1 && !is_control(text[at]));
    if (is_safe || kept.find(text[at]) != std::string_view::npos) {
      result += text.substr(at, length);
    } else {
      result += '?';
    }
    at += std::max<std::size_t>(length, 1);
  }
  return result;
}

/// Long lines are cut on both sides of the column: a config.json may be one line of a megabyte.
void set_excerpt(Diagnostic& diagnostic, std::string_view line) {
  std::size_t begin = 0;
  const std::size_t at = offset_of(line, diagnostic.column);
  if (at > kExcerptWidth * 3 / 4) {
    begin = at - kExcerptWidth / 2;
    while (begin < line.size() && is_continuation(line[begin])) {
      ++begin;
    }
    const std::string_view before = line.substr(begin, at - begin);
    const auto characters =
        std::count_if(before.begin(), before.end(), [](char c) { return !is_continuation(c); });
    diagnostic.caret = static_cast<int>(characters) + 4;
    diagnostic.excerpt = "...";
  }
  std::size_t end = std::min(line.size(), begin + kExcerptWidth);
  while (end < line.size() && is_continuation(line[end])) {
    ++end;
  }
  diagnostic.excerpt += with_safe_characters(line.substr(begin, end - begin), "\t");
  if (end < line.size()) {
    diagnostic.excerpt += "...";
  }
}

}  // namespace

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

Diagnostic diagnose(const Position& position, std::string key, std::string message) {
  Diagnostic diagnostic;
  diagnostic.key = std::move(key);
  diagnostic.message = std::move(message);
  if (position.source == nullptr) {
    return diagnostic;
  }
  diagnostic.file = printable(position.source->name, position.source->name.size());
  diagnostic.line = position.line;
  diagnostic.column = position.column;
  if (position.line > 0) {
    set_excerpt(diagnostic, line_of(position.source->text, position.line));
  }
  return diagnostic;
}

void fail_at(const Position& position, std::string message) {
  throw ConfigError({diagnose(position, "", std::move(message))});
}

const Source& add_text(Sources& sources, std::string name, std::string text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) {
    text.erase(0, kByteOrderMark.size());
  }
  const Source& source = sources.add(std::move(name), std::move(text));
  for (std::size_t at = 0; at < source.text.size();) {
    const std::size_t length = utf8_length(std::string_view(source.text).substr(at));
    if (length == 0) {
      Cursor cursor(source);
      cursor.advance(at);
      fail_at(cursor.position(), "not valid UTF-8 text");
    }
    at += length;
  }
  return source;
}

bool Cursor::starts_with(std::string_view text) const {
  return std::string_view(source_->text).substr(offset_).starts_with(text);
}

void Cursor::advance(std::size_t bytes) {
  for (; bytes > 0 && !at_end(); --bytes, ++offset_) {
    if (here() == '\n') {
      ++line_;
      column_ = 1;
    } else if (offset_ + 1 == source_->text.size() ||
               !is_continuation(source_->text[offset_ + 1])) {
      ++column_;
    }
  }
}

void Cursor::skip(std::string_view characters) {
  while (!at_end() && characters.find(here()) != std::string_view::npos) {
    advance();
  }
}

void Cursor::skip_to(std::string_view characters) {
  while (!at_end() && characters.find(here()) == std::string_view::npos) {
    advance();
  }
}

std::string printable(std::string_view text, std::size_t longest) {
  while (longest < text.size() && is_continuation(text[longest])) {
    ++longest;
  }
  std::string result = with_safe_characters(text.substr(0, longest), "");
  return text.size() > longest ? result + "..." : result;
}

std::string describe(const Value& value) {
  struct Describer {
    std::string operator()(bool b) const { return b ? "true" : "false"; }
    std::string operator()(std::int64_t i) const { return std::to_string(i) + " (a whole number)"; }
    std::string operator()(double d) const {
      return toml_number(d) + " (a number with a fraction)";
    }
    std::string operator()(const std::string& s) const {
      return s.empty() ? "empty text" : '"' + printable(s) + "\" (text)";
    }
    std::string operator()(const Array&) const { return "an array"; }
    std::string operator()(const Table&) const { return "a table"; }
  };
  return std::visit(Describer(), value.data);
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

}  // namespace foretrain::config
