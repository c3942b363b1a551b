// A configuration file as a tree of values that remember where they were written.
// TOML and JSON files and `--set` assignments all become this tree, so one Reader serves them all.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace foretrain::config {

/// One text that was read: its name as shown in errors, and its content for the excerpt.
struct Source {
  std::string name;
  std::string text;
};

/// Where a value or key stands. `line` and `column` count from 1; 0 means the file as a whole.
struct Position {
  const Source* source = nullptr;
  int line = 0;
  int column = 0;
};

struct Value;

struct Entry;
using Array = std::vector<Value>;
using Table = std::vector<Entry>;  ///< in the order of the file; keys are unique

struct Value {
  Position position;  ///< for a table, of its header or brace; the root is the file as a whole
  std::variant<bool, std::int64_t, double, std::string, Array, Table> data;

  [[nodiscard]] const Table* table() const { return std::get_if<Table>(&data); }
  [[nodiscard]] Table* table() { return std::get_if<Table>(&data); }
};

struct Entry {
  std::string key;
  Position key_position;
  Value value;
};

/// Owns every text that was read. Positions point into it, so it outlives the values.
class Sources {
 public:
  const Source& add(std::string name, std::string text);
  /// Every text so far, in the order in which it was read.
  [[nodiscard]] const std::deque<Source>& all() const { return sources_; }

 private:
  std::deque<Source> sources_;  // a deque keeps addresses stable
};

/// Parses TOML / JSON. Throws ConfigError with the position of a syntax error.
/// A JSON null is dropped, as if its key were absent.
[[nodiscard]] Value parse_toml(Sources& sources, std::string name, std::string text);
[[nodiscard]] Value parse_json(Sources& sources, std::string name, std::string text);

/// Reads a file whole. Throws ConfigError when it cannot be read or is larger than 16 MiB.
[[nodiscard]] std::string read_file(const std::string& path);

/// Applies `--set a.b=c` to a tree: c is TOML (`tensor=4`, `stack="generic"`); a bare word is
/// taken for a string. Missing tables on the way are created. Throws ConfigError on bad syntax;
/// errors found later in the value are reported as in a file called `--set a.b=c`.
void apply_set(Sources& sources, Value& root, std::string_view assignment);

/// Puts the entries of one table into another: tables are merged key by key, anything else replaces
/// what was there. Positions stay those of `overrides`. REQUIRES: both are tables.
void merge(Value& into, const Value& overrides);

/// The tree as TOML text that parses back to the same tree; keys in the order of the tree.
[[nodiscard]] std::string to_toml(const Value& root);

}  // namespace foretrain::config
