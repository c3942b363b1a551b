// TOML text -> tree. The only file that sees toml++, whose tables are sorted by key and lose their
// positions when copied: so it is walked by reference, and the order of the file is restored here.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <toml++/toml.h>

#include "sim/config/text.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

/// Refuses text that nests deeper than kMaxDepth before toml++ sees it: its tables are destroyed
/// by recursion, and dotted keys (a.a.a...) have no limit there. Counts brackets, and the dots of
/// the keys (or numbers) around them; strings and comments are skipped.
class DepthCheck {
 public:
  explicit DepthCheck(const Source& source) : cursor_(source) {}

  void run() {
    while (!cursor_.at_end()) {
      const char c = cursor_.here();
      if (c == '"' || c == '\'') {
        skip_string(c);
        continue;
      }
      if (c == '#') {
        cursor_.skip_to("\n");
        continue;
      }
      count(c);
      if (depth_ + dots_ > kMaxDepth) {
        fail_at(cursor_.position(), "nested deeper than " + std::to_string(kMaxDepth) + " levels");
      }
      cursor_.advance();
    }
  }

 private:
  void count(char c) {
    if (c == '.') {
      ++dots_;
    } else if (c == '[' || c == '{') {
      open_.push_back(dots_);
      depth_ += dots_ + 1;
      dots_ = 0;
    } else if ((c == ']' || c == '}') && !open_.empty()) {
      dots_ = open_.back();
      depth_ -= dots_ + 1;
      open_.pop_back();
    } else if (c == ',' || (c == '\n' && open_.empty())) {
      dots_ = 0;
    }
  }

  void skip_string(char quote) {
    const std::string three(3, quote);
    const bool is_multi_line = cursor_.starts_with(three);
    cursor_.advance(is_multi_line ? 3 : 1);
    while (!cursor_.at_end()) {
      if (is_multi_line ? cursor_.starts_with(three) : cursor_.here() == quote) {
        cursor_.advance(is_multi_line ? 3 : 1);
        for (int i = 0; is_multi_line && i < 2 && cursor_.here() == quote; ++i) {
          cursor_.advance();  // one or two quotes may stand before the closing three
        }
        return;
      }
      if (!is_multi_line && cursor_.here() == '\n') {
        return;  // a syntax error, left to the parser
      }
      cursor_.advance(quote == '"' && cursor_.here() == '\\' ? 2 : 1);
    }
  }

  Cursor cursor_;
  std::vector<int> open_;  ///< dots before each open bracket
  int depth_ = 0;
  int dots_ = 0;
};

class Converter {
 public:
  explicit Converter(const Source& source) : source_(&source) {}

  Value value(const toml::node& node, int depth) {
    const Position position = at(node.source());
    if (depth > kMaxDepth) {
      fail_at(position, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    if (const auto* table = node.as_table()) {
      return {position, entries(*table, depth)};
    }
    if (const auto* array = node.as_array()) {
      return {position, elements(*array, depth)};
    }
    if (const auto* text = node.as_string()) {
      return {position, text->get()};
    }
    if (const auto* whole = node.as_integer()) {
      return {position, whole->get()};
    }
    if (const auto* truth = node.as_boolean()) {
      return {position, truth->get()};
    }
    if (const auto* number = node.as_floating_point()) {
      if (!std::isfinite(number->get())) {
        mistakes_.push_back(diagnose(position, "", "inf and nan are not accepted here"));
      }
      return {position, number->get()};
    }
    mistakes_.push_back(diagnose(position, "", "dates and times are not used here; write text"));
    return {position, std::string()};
  }

  void throw_if_any() {
    if (!mistakes_.empty()) {
      throw ConfigError(std::move(mistakes_));
    }
  }

 private:
  Position at(const toml::source_region& region) const {
    return {source_, static_cast<int>(region.begin.line), static_cast<int>(region.begin.column)};
  }

  Table entries(const toml::table& table, int depth) {
    Table result;
    result.reserve(table.size());
    for (const auto& [key, node] : table) {
      result.push_back({std::string(key.str()), at(key.source()), value(node, depth + 1)});
    }
    std::stable_sort(result.begin(), result.end(), [](const Entry& a, const Entry& b) {
      return std::tie(a.key_position.line, a.key_position.column) <
             std::tie(b.key_position.line, b.key_position.column);
    });
    return result;
  }

  Array elements(const toml::array& array, int depth) {
    Array result;
    result.reserve(array.size());
    for (const toml::node& node : array) {
      result.push_back(value(node, depth + 1));
    }
    return result;
  }

  const Source* source_;
  std::vector<Diagnostic> mistakes_;
};

/// toml++ begins its messages with what it was doing; the position already says that.
std::string readable(std::string_view description) {
  const std::size_t colon = description.find(": ");
  if (description.starts_with("Error while parsing") && colon != std::string_view::npos) {
    description.remove_prefix(colon + 2);
  }
  return "not valid TOML: " + std::string(description);
}

}  // namespace

Value parse_toml(Sources& sources, std::string name, std::string text) {
  const Source& source = add_text(sources, std::move(name), std::move(text));
  DepthCheck(source).run();
  try {
    const toml::table root = toml::parse(std::string_view(source.text), source.name);
    Converter converter(source);
    Value value = converter.value(root, 0);
    value.position = {&source, 0, 0};
    converter.throw_if_any();
    return value;
  } catch (const toml::parse_error& error) {
    const toml::source_position where = error.source().begin;
    fail_at({&source, static_cast<int>(where.line), static_cast<int>(where.column)},
            readable(error.description()));
  }
}

}  // namespace foretrain::config
