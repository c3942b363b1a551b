// SPDX-License-Identifier: Apache-2.0
#include "validation/calibrate/tree.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain::validation {
namespace {

using config::Entry;
using config::Table;
using config::Value;

struct Split {
  std::string_view first;
  std::string_view rest;  ///< empty at the last
};

Split split(std::string_view key) {
  const std::size_t dot = key.find('.');
  return dot == std::string_view::npos ? Split{key, {}}
                                       : Split{key.substr(0, dot), key.substr(dot + 1)};
}

template <class T>
auto entry_of(T& table, std::string_view key) {
  return std::find_if(table.begin(), table.end(),
                      [&](const Entry& entry) { return entry.key == key; });
}

bool is_section(const Value& value) {
  const Table* table = value.table();
  return table != nullptr && entry_of(*table, "value") == table->end();
}

Table::iterator place_for(Table& table, const Value& value) {
  return is_section(value) ? table.end()
                           : std::find_if(table.begin(), table.end(), [](const Entry& entry) {
                               return is_section(entry.value);
                             });
}

}  // namespace

const Value* find_key(const Value& root, std::string_view key) {
  const Table* table = root.table();
  if (table == nullptr) {
    return nullptr;
  }
  const auto [first, rest] = split(key);
  const auto found = entry_of(*table, first);
  if (found == table->end()) {
    return nullptr;
  }
  return rest.empty() ? &found->value : find_key(found->value, rest);
}

void put_key(Value& root, std::string_view key, Value value) {
  Table* table = root.table();
  FORETRAIN_ASSERT(table != nullptr, "a key is put into something that is no table");
  const auto [first, rest] = split(key);
  auto found = entry_of(*table, first);
  if (rest.empty() && found != table->end()) {
    found->value = std::move(value);
    return;
  }
  if (rest.empty()) {
    const auto place = place_for(*table, value);
    table->insert(place, Entry{std::string(first), {}, std::move(value)});
    return;
  }
  if (found == table->end()) {
    found = table->insert(table->end(), Entry{std::string(first), {}, value_of(Table{})});
  }
  put_key(found->value, rest, std::move(value));
}

void erase_key(Value& root, std::string_view key) {
  Table* table = root.table();
  if (table == nullptr) {
    return;
  }
  const auto [first, rest] = split(key);
  const auto found = entry_of(*table, first);
  if (found == table->end()) {
    return;
  }
  if (!rest.empty()) {
    erase_key(found->value, rest);
  }
  const Table* inner = found->value.table();
  if (rest.empty() || (inner != nullptr && inner->empty())) {
    table->erase(found);
  }
}

Value sourced_value(Value value, std::string basis, std::string source) {
  Table table;
  table.push_back({"value", {}, std::move(value)});
  table.push_back({"basis", {}, value_of(std::move(basis))});
  table.push_back({"source", {}, value_of(std::move(source))});
  return value_of(std::move(table));
}

std::string head_comment(const Value& root) {
  std::string head;
  if (root.position.source == nullptr) {
    return head;
  }
  std::string_view text = root.position.source->text;
  while (text.starts_with('#')) {
    const std::size_t end = std::min(text.size(), text.find('\n') + 1);
    head += text.substr(0, end);
    text.remove_prefix(end);
  }
  return head;
}

}  // namespace foretrain::validation
