// Walks tables, remembers what was asked for, and rejects the keys that nobody asked for.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/reader.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include "sim/config/text.hpp"
#include "sim/core/suggest.hpp"

namespace foretrain::config {

namespace {

constexpr auto kBases = std::to_array<Choice<Basis>>({{"datasheet", Basis::datasheet},
                                                      {"measured", Basis::measured},
                                                      {"fitted", Basis::fitted},
                                                      {"transferred", Basis::transferred},
                                                      {"assumed", Basis::assumed}});

const Value& empty_table() {
  static const Value table = {{}, Table()};
  return table;
}

std::string unknown_key(const std::string& key, const std::vector<std::string>& names,
                        std::span<const Alias> aliases) {
  const std::string message = "unknown key '" + printable(key) + "'";
  const auto alias = std::find_if(aliases.begin(), aliases.end(),
                                  [&](const Alias& a) { return a.foreign == key; });
  if (alias != aliases.end()) {
    return message + "; here it is called '" + std::string(alias->ours) + "'";
  }
  if (const auto near = nearest(key, names)) {
    return message + "; did you mean '" + *near + "'?";
  }
  return names.empty() ? message : message + "; the keys here are " + join(names);
}

}  // namespace

std::string_view name_of(Basis basis) {
  for (const Choice<Basis>& choice : kBases) {
    if (choice.value == basis) {
      return choice.name;
    }
  }
  return "";
}

Reader::Reader(const Value& value, std::string path, Diagnostics& diagnostics)
    : value_(&value), path_(std::move(path)), diagnostics_(&diagnostics) {
  read_origin();
}

Reader::Reader(const Value& value, std::string path, const Reader& parent)
    : value_(&value),
      path_(std::move(path)),
      diagnostics_(parent.diagnostics_),
      source_(parent.source_),
      basis_(parent.basis_),
      is_silent_(parent.is_silent_) {
  read_origin();
}

void Reader::read_origin() {
  if (value_->table() == nullptr) {
    report(value_->position, path_, "expected a table, got " + describe(*value_));
    value_ = &empty_table();
    is_silent_ = true;
  }
  if (const auto source = maybe<std::string>("source")) {
    source_ = *source;
  }
  basis_ = choice<Basis>("basis", kBases, basis_);
  // These two are allowed in every table, but suggested only where a sourced number is read.
  known_.clear();
}

const Value* Reader::peek(std::string_view key) const {
  for (const Entry& entry : *value_->table()) {
    if (entry.key == key) {
      return &entry.value;
    }
  }
  return nullptr;
}

const Value* Reader::find(std::string_view key) {
  known_.emplace(key);
  const Value* const value = peek(key);
  if (value != nullptr) {
    read_.emplace(key);
  }
  return value;
}

std::string Reader::path_to(std::string_view key) const { return dotted(path_, key); }

void Reader::report(const Position& position, std::string path, std::string message) {
  if (!is_silent_) {
    diagnostics_->add(position, std::move(path), std::move(message));
  }
}

void Reader::report_missing(std::string_view key, const std::string& what) {
  report(value_->position, path_, "missing key '" + std::string(key) + "' (" + what + ")");
}

Reader Reader::child(std::string_view key) {
  std::optional<Reader> reader = maybe_child(key);
  if (!reader) {
    report_missing(key, "a table");
    reader = Reader(empty_table(), path_to(key), *this);
    reader->is_silent_ = true;
  }
  return *reader;
}

std::optional<Reader> Reader::maybe_child(std::string_view key) {
  const Value* const value = find(key);
  return value != nullptr ? std::optional<Reader>(Reader(*value, path_to(key), *this))
                          : std::nullopt;
}

std::vector<Reader> Reader::children(std::string_view key) {
  std::vector<Reader> readers;
  const Value* const value = find(key);
  if (value == nullptr) {
    return readers;
  }
  const Array* const array = std::get_if<Array>(&value->data);
  if (array == nullptr) {
    report(value->position, path_to(key),
           "expected an array of tables, [[" + path_to(key) + "]], got " + describe(*value));
    return readers;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string path = path_to(key) + '[' + std::to_string(i) + ']';
    Reader reader((*array)[i], path, *this);
    if (!reader.is_silent_ || is_silent_) {
      readers.push_back(std::move(reader));
    }
  }
  return readers;
}

std::vector<std::string> Reader::keys() const {
  std::vector<std::string> names;
  for (const Entry& entry : *value_->table()) {
    names.push_back(entry.key);
  }
  return names;
}

bool Reader::has(std::string_view key) {
  known_.emplace(key);
  return peek(key) != nullptr;
}

std::optional<Value> Reader::maybe_tree(std::string_view key) {
  const Value* const value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->table() == nullptr) {
    fail(key, "expected a table, got " + describe(*value));
    return std::nullopt;
  }
  return *value;
}

bool Reader::is_table(std::string_view key) {
  known_.emplace(key);
  const Value* const value = peek(key);
  return value != nullptr && value->table() != nullptr;
}

void Reader::ignore(std::string_view key) { read_.emplace(key); }

void Reader::fail(std::string_view key, std::string message) {
  const bool is_here = peek(key) != nullptr;
  report(position_of(key), is_here ? path_to(key) : path_, std::move(message));
}

Position Reader::position_of(std::string_view key) const {
  const Value* const value = peek(key);
  return value != nullptr ? value->position : value_->position;
}

void Reader::finish(std::span<const Alias> aliases) {
  const std::vector<std::string> names(known_.begin(), known_.end());
  for (const Entry& entry : *value_->table()) {
    if (!read_.contains(entry.key)) {
      report(entry.key_position, path_, unknown_key(entry.key, names, aliases));
    }
  }
}

}  // namespace foretrain::config
