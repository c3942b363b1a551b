// Reads one table of a configuration tree into structs, and finds every mistake in it: missing,
// mistyped and unknown keys, numbers without units, values out of range. Errors are collected, so
// that one run reports all of a file's mistakes; a key that is never read is an error.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/quantity.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

/// Collects diagnostics; throw_if_any() ends the reading of an input.
class Diagnostics {
 public:
  void add(const Position& position, std::string key, std::string message);
  void add(Diagnostic diagnostic);
  [[nodiscard]] bool empty() const { return diagnostics_.empty(); }
  [[nodiscard]] std::size_t size() const { return count_; }
  /// Throws ConfigError with everything collected, sorted by source, line and column.
  void throw_if_any();

 private:
  std::vector<Diagnostic> diagnostics_;  ///< the first hundred
  std::size_t count_ = 0;
};

/// How a number is known. Everything but a datasheet value and a measurement is marked in reports.
enum class Basis { datasheet, measured, fitted, transferred, assumed };
[[nodiscard]] std::string_view name_of(Basis basis);

/// A number of a platform file with its origin. In TOML either the bare quantity, which takes the
/// `source` and `basis` of the nearest enclosing table, or { value = ..., source = "...", basis =
/// "..." }.
template <class T>
struct Sourced {
  T value{};
  std::string source;
  Basis basis = Basis::datasheet;
};

/// A foreign or mistyped spelling and our name for the same thing ("tp" -> "tensor").
struct Alias {
  std::string_view foreign;
  std::string_view ours;
};

template <class E>
struct Choice {
  std::string_view name;
  E value;
};

/// Numeric limits of a key, both inclusive.
struct Range {
  std::int64_t least = 1;
  std::int64_t most = 1'000'000'000'000;
};

/// A view of one table. T may be bool, std::int64_t, double, std::string, Bytes, BytesPerSecond,
/// Seconds, FlopsPerSecond, Flops, Hertz, or Sourced<> of those but bool and string.
/// After a mistake a reader returns a harmless default and reading goes on.
class Reader {
 public:
  /// REQUIRES: `value` and `diagnostics` outlive the reader. `path` is "" for the root.
  Reader(const Value& value, std::string path, Diagnostics& diagnostics);

  template <class T>
  [[nodiscard]] T get(std::string_view key);  ///< required
  template <class T>
  [[nodiscard]] T get(std::string_view key, T fallback);  ///< optional
  template <class T>
  [[nodiscard]] std::optional<T> maybe(std::string_view key);  ///< optional
  /// Required / optional whole numbers within a range.
  [[nodiscard]] std::int64_t count(std::string_view key, Range range = {});
  [[nodiscard]] std::int64_t count(std::string_view key, std::int64_t fallback, Range range);
  [[nodiscard]] std::optional<std::int64_t> maybe_count(std::string_view key, Range range = {});
  /// A list of them; empty when absent.
  [[nodiscard]] std::vector<std::int64_t> counts(std::string_view key, Range range = {});
  /// A dimensionless number within [least, most].
  [[nodiscard]] Sourced<double> fraction(std::string_view key, double least, double most);

  /// One of a closed set of words; the error lists them and suggests the nearest.
  template <class E>
  [[nodiscard]] E choice(std::string_view key, std::span<const Choice<E>> choices);
  template <class E>
  [[nodiscard]] E choice(std::string_view key, std::span<const Choice<E>> choices, E fallback);
  /// A list of such words, each at most once; empty when absent.
  template <class E>
  [[nodiscard]] std::vector<E> choices(std::string_view key, std::span<const Choice<E>> choices);

  [[nodiscard]] Reader child(std::string_view key);  ///< required table
  [[nodiscard]] std::optional<Reader> maybe_child(std::string_view key);
  [[nodiscard]] std::vector<Reader> children(std::string_view key);  ///< array of tables, or empty
  /// Names of the entries of this table, in order, without marking them as read.
  [[nodiscard]] std::vector<std::string> keys() const;

  /// Whether the key is there. Asking makes it a known name, but does not count as reading it.
  [[nodiscard]] bool has(std::string_view key);
  /// The table at a key as it was written, read by somebody else later; nothing when absent, an
  /// error when it is no table.
  [[nodiscard]] std::optional<Value> maybe_tree(std::string_view key);
  /// Whether the value at a key is a table. Makes the key a known name, like has().
  [[nodiscard]] bool is_table(std::string_view key);
  /// Marks a key as understood but of no consequence here (JSON files carry many).
  void ignore(std::string_view key);
  /// Reports a mistake at this key's value (or at the table when the key is absent).
  void fail(std::string_view key, std::string message);
  /// Rejects every key that was not read: with our name when `aliases` knows it, else the nearest.
  void finish(std::span<const Alias> aliases = {});

  [[nodiscard]] const Position& position() const { return value_->position; }
  [[nodiscard]] Position position_of(std::string_view key) const;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Diagnostics& diagnostics() const { return *diagnostics_; }

 private:
  Reader(const Value& value, std::string path, const Reader& parent);
  void read_origin();
  /// The value at `key`, which counts as read from here on; null when absent.
  const Value* find(std::string_view key);
  const Value* peek(std::string_view key) const;
  void report(const Position& position, std::string path, std::string message);
  void report_missing(std::string_view key, const std::string& what);
  [[nodiscard]] std::string path_to(std::string_view key) const;
  template <class T>
  std::optional<T> convert(const Value& value, const std::string& path);
  template <class T>
  std::optional<Sourced<T>> convert_sourced(const Value& value, const std::string& path);
  template <class T>
  std::optional<T> maybe_any(std::string_view key);
  std::optional<std::int64_t> checked_count(const Value& value, const std::string& path,
                                            Range range);
  /// The index of the chosen word; nothing when absent (reported if required) or wrong.
  std::optional<std::size_t> choose(std::string_view key, std::span<const std::string> words,
                                    bool is_required);
  /// The indices of a list of words.
  std::vector<std::size_t> choose_several(std::string_view key, std::span<const std::string> words);
  std::optional<std::size_t> word_in(const Value& value, const std::string& path,
                                     std::span<const std::string> words);
  template <class E>
  std::optional<E> choose_value(std::string_view key, std::span<const Choice<E>> choices,
                                bool is_required);

  const Value* value_;
  std::string path_;
  Diagnostics* diagnostics_;
  std::set<std::string, std::less<>> known_;  ///< every key that was asked for, present or not
  std::set<std::string, std::less<>> read_;
  std::string source_;  ///< of the nearest table that has the key `source`
  Basis basis_ = Basis::datasheet;
  bool is_silent_ = false;  ///< the table is missing or no table, which was reported already
};

template <class E>
std::optional<E> Reader::choose_value(std::string_view key, std::span<const Choice<E>> choices,
                                      bool is_required) {
  std::vector<std::string> words;
  for (const Choice<E>& choice : choices) {
    words.emplace_back(choice.name);
  }
  const std::optional<std::size_t> index = choose(key, words, is_required);
  return index ? std::optional<E>(choices[*index].value) : std::nullopt;
}

template <class E>
E Reader::choice(std::string_view key, std::span<const Choice<E>> choices) {
  FORETRAIN_ASSERT(!choices.empty(), "a choice needs words to choose from");
  return choose_value(key, choices, true).value_or(choices.front().value);
}

template <class E>
E Reader::choice(std::string_view key, std::span<const Choice<E>> choices, E fallback) {
  return choose_value(key, choices, false).value_or(fallback);
}

template <class E>
std::vector<E> Reader::choices(std::string_view key, std::span<const Choice<E>> choices) {
  std::vector<std::string> words;
  for (const Choice<E>& choice : choices) {
    words.emplace_back(choice.name);
  }
  std::vector<E> chosen;
  for (const std::size_t index : choose_several(key, words)) {
    chosen.push_back(choices[index].value);
  }
  return chosen;
}

}  // namespace foretrain::config
