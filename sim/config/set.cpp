// `--set a.b=c`: one assignment on the command line, kept as a text of its own for error messages.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sim/config/text.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

struct Segment {
  std::string name;
  Position position;
};

/// The dotted key before the first '='. Names that need quotes cannot be set this way.
std::vector<Segment> parse_key(const Source& source, std::size_t length) {
  std::vector<Segment> segments;
  std::size_t begin = 0;
  while (begin <= length) {
    const std::size_t end = std::min(source.text.find('.', begin), length);
    const std::string name = source.text.substr(begin, end - begin);
    const Position position = {&source, 1, static_cast<int>(begin) + 1};
    if (!is_bare_key(name)) {
      fail_at(position, "expected KEY=VALUE with a key such as parallel.tensor");
    }
    segments.push_back({name, position});
    begin = end + 1;
  }
  if (segments.size() > kMaxDepth) {
    fail_at({&source, 1, 1}, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
  }
  return segments;
}

bool is_toml(std::string_view text) {
  constexpr std::string_view kOpening = "\"'[{";
  return kOpening.find(text.front()) != std::string_view::npos;
}

/// The value of "a.b=c" read as TOML: the leaf of the tables that the key makes.
Value leaf(Value root, std::size_t depth) {
  Value value = std::move(root);
  for (std::size_t i = 0; i < depth; ++i) {
    Table* table = value.table();
    FORETRAIN_ASSERT(table != nullptr && table->size() == 1, "an assignment has one key");
    Value next = std::move(table->front().value);
    value = std::move(next);
  }
  return value;
}

/// A word that is not TOML, such as fp16, 80 GB or 1f1b, is text. Quotes, brackets and braces
/// say that TOML is meant, and then its mistakes are reported.
Value parse_value(const Source& source, std::size_t begin, std::size_t depth) {
  const std::string_view text = std::string_view(source.text).substr(begin);
  const Position position = {&source, 1, static_cast<int>(begin) + 1};
  if (text.empty()) {
    fail_at(position, "expected a value after '='; write \"\" for empty text");
  }
  Sources scratch;  // positions are moved to `source` below, or the value is dropped
  if (is_toml(text)) {
    return leaf(parse_toml(scratch, source.name, source.text), depth);
  }
  try {
    Value value = leaf(parse_toml(scratch, source.name, source.text), depth);
    value.position = position;
    return value;
  } catch (const ConfigError&) {
    return {position, std::string(text)};
  }
}

/// Points every position within `value` at `source`, whose text is the one that was parsed.
void move_to(const Source& source, Value& value) {
  value.position.source = &source;
  if (Table* table = value.table()) {
    for (Entry& entry : *table) {
      entry.key_position.source = &source;
      move_to(source, entry.value);
    }
  } else if (Array* array = std::get_if<Array>(&value.data)) {
    for (Value& element : *array) {
      move_to(source, element);
    }
  }
}

Entry* find(Table& table, std::string_view key) {
  const auto entry =
      std::find_if(table.begin(), table.end(), [&](const Entry& e) { return e.key == key; });
  return entry == table.end() ? nullptr : &*entry;
}

/// The table that holds the last segment, made where it is missing.
Table& holder(Value& root, const std::vector<Segment>& segments) {
  Table* table = root.table();
  FORETRAIN_ASSERT(table != nullptr, "the root of a configuration is a table");
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    Entry* entry = find(*table, segments[i].name);
    if (entry == nullptr) {
      const Position& position = segments[i].position;
      table->push_back({segments[i].name, position, {position, Table()}});
      entry = &table->back();
    }
    table = entry->value.table();
    if (table == nullptr) {
      fail_at(segments[i].position, "'" + segments[i].name + "' is " + describe(entry->value) +
                                        ", not a table; set it as a whole");
    }
  }
  return *table;
}

}  // namespace

void merge(Value& into, const Value& overrides) {
  FORETRAIN_ASSERT(into.table() != nullptr && overrides.table() != nullptr, "merge takes tables");
  for (const Entry& entry : *overrides.table()) {
    Entry* const there = find(*into.table(), entry.key);
    if (there == nullptr) {
      into.table()->push_back(entry);
    } else if (there->value.table() != nullptr && entry.value.table() != nullptr) {
      merge(there->value, entry.value);
    } else {
      *there = entry;
    }
  }
}

void apply_set(Sources& sources, Value& root, std::string_view assignment) {
  const Source& source =
      add_text(sources, "--set " + std::string(assignment), std::string(assignment));
  const std::string& text = source.text;
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    fail_at({&source, 0, 0}, "an assignment is one line without control characters");
  }
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) {
    fail_at({&source, 1, 1}, "expected KEY=VALUE with a key such as parallel.tensor");
  }
  const std::vector<Segment> segments = parse_key(source, text.find_last_not_of(" =", equals) + 1);
  const std::size_t begin = std::min(text.find_first_not_of(' ', equals + 1), text.size());
  Value value = parse_value(source, begin, segments.size());
  move_to(source, value);
  Table& table = holder(root, segments);
  const Segment& last = segments.back();
  if (Entry* entry = find(table, last.name)) {
    entry->key_position = last.position;
    entry->value = std::move(value);
  } else {
    table.push_back({last.name, last.position, std::move(value)});
  }
}

}  // namespace foretrain::config
