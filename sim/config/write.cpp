// Tree -> TOML text. The order of keys is kept: TOML wants a table's own keys before its
// [sections], so a subtable that stands before a plain key is written in braces.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "sim/config/text.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

bool is_array_of_tables(const Value& value) {
  const Array* array = std::get_if<Array>(&value.data);
  return array != nullptr && !array->empty() &&
         std::all_of(array->begin(), array->end(),
                     [](const Value& element) { return element.table() != nullptr; });
}

// A table with a `value` is a number with its origin: one line.
bool is_section(const Value& value) {
  if (const Table* table = value.table()) {
    return std::none_of(table->begin(), table->end(),
                        [](const Entry& entry) { return entry.key == "value"; });
  }
  return is_array_of_tables(value);
}

struct InlineWriter {
  std::string operator()(bool b) const { return b ? "true" : "false"; }
  std::string operator()(std::int64_t i) const { return std::to_string(i); }
  std::string operator()(double d) const { return toml_number(d); }
  std::string operator()(const std::string& s) const { return toml_string(s); }
  std::string operator()(const Array& array) const {
    std::string text;
    for (const Value& element : array) {
      text += (text.empty() ? "" : ", ") + std::visit(*this, element.data);
    }
    return '[' + text + ']';
  }
  std::string operator()(const Table& table) const {
    std::string text;
    for (const Entry& entry : table) {
      text += (text.empty() ? " " : ", ") + toml_key(entry.key) + " = ";
      text += std::visit(*this, entry.value.data);
    }
    return text.empty() ? "{}" : '{' + text + " }";
  }
};

void write_table(const Table& table, const std::string& path, std::string& text);

void write_section(const Value& value, const std::string& path, std::string& text) {
  const std::string gap = text.empty() ? "" : "\n";
  if (const Table* table = value.table()) {
    const bool has_only_sections =
        !table->empty() && std::all_of(table->begin(), table->end(),
                                       [](const Entry& entry) { return is_section(entry.value); });
    if (!has_only_sections) {
      text += gap + '[' + path + "]\n";
    }
    write_table(*table, path, text);
    return;
  }
  for (const Value& element : std::get<Array>(value.data)) {
    text += text.empty() ? "[[" : "\n[[";
    text += path;
    text += "]]\n";
    write_table(*element.table(), path, text);
  }
}

void write_table(const Table& table, const std::string& path, std::string& text) {
  const auto last_plain = std::find_if(table.rbegin(), table.rend(),
                                       [](const Entry& e) { return !is_section(e.value); });
  const auto first_section = last_plain.base();
  for (auto entry = table.begin(); entry != first_section; ++entry) {
    text += toml_key(entry->key);
    text += " = ";
    text += std::visit(InlineWriter(), entry->value.data);
    text += '\n';
  }
  for (auto entry = first_section; entry != table.end(); ++entry) {
    write_section(entry->value, dotted(path, entry->key), text);
  }
}

}  // namespace

bool is_bare_key(std::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::string toml_key(std::string_view key) {
  return is_bare_key(key) ? std::string(key) : toml_string(key);
}

std::string dotted(std::string_view path, std::string_view key) {
  std::string result(path);
  if (!path.empty()) {
    result += '.';
  }
  return result + toml_key(key);
}

std::string toml_string(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (is_control(c)) {
      const auto code = static_cast<unsigned char>(c);
      result += "\\u00";
      result += kHex[code >> 4];
      result += kHex[code & 0xf];
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string toml_number(double number) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  std::string text(buffer.data(), end.ptr);
  if (text.find_first_of(".en") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string to_toml(const Value& root) {
  const Table* table = root.table();
  FORETRAIN_ASSERT(table != nullptr, "the root of a configuration is a table");
  std::string text;
  write_table(*table, "", text);
  return text;
}

}  // namespace foretrain::config
