// The values of one table: conversions, limits, choices, and the origins of numbers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "sim/config/reader.hpp"
#include "sim/config/text.hpp"
#include "sim/core/suggest.hpp"

namespace foretrain::config {

namespace {

template <class T>
constexpr bool kIsSourced = false;
template <class T>
constexpr bool kIsSourced<Sourced<T>> = true;

/// What is expected of a T, for error messages.
template <class T>
std::string expected() {
  if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "a whole number";
  } else if constexpr (std::is_same_v<T, double>) {
    return "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "text in quotes";
  } else if constexpr (kIsSourced<T>) {
    return expected<decltype(T::value)>();
  } else {
    return expected_quantity<T>();
  }
}

/// Stands in for a value that could not be read: not zero, since callers divide.
template <class T>
T harmless() {
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string>) {
    return T();
  } else if constexpr (kIsSourced<T>) {
    return T{harmless<decltype(T::value)>(), "", Basis::datasheet};
  } else {
    return T(1);
  }
}

/// What is expected of a count. The default limits are too wide to be worth telling.
std::string expected(Range range) {
  if (range.least == Range().least && range.most == Range().most) {
    return "a whole number";
  }
  return "a whole number from " + std::to_string(range.least) + " to " + std::to_string(range.most);
}

}  // namespace

template <class T>
std::optional<T> Reader::convert(const Value& value, const std::string& path) {
  std::string got = describe(value);
  if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::int64_t> ||
                std::is_same_v<T, std::string>) {
    if (const T* const found = std::get_if<T>(&value.data)) {
      return *found;
    }
  } else if constexpr (std::is_same_v<T, double>) {
    if (const double* const number = std::get_if<double>(&value.data)) {
      return *number;
    }
    if (const auto* const whole = std::get_if<std::int64_t>(&value.data)) {
      return static_cast<double>(*whole);
    }
  } else {
    if (const auto* const text = std::get_if<std::string>(&value.data)) {
      if (const std::optional<T> quantity = parse_quantity<T>(*text)) {
        return quantity;
      }
      got = '"' + printable(*text) + "\" (" + quantity_mistake<T>(*text) + ')';
    } else if (const auto* const whole = std::get_if<std::int64_t>(&value.data)) {
      got = std::to_string(*whole) + " (a number without a unit)";
    } else if (const auto* const number = std::get_if<double>(&value.data)) {
      got = toml_number(*number) + " (a number without a unit)";
    }
  }
  report(value.position, path, "expected " + expected<T>() + ", got " + got);
  return std::nullopt;
}

template <class T>
std::optional<Sourced<T>> Reader::convert_sourced(const Value& value, const std::string& path) {
  Sourced<T> result{harmless<T>(), source_, basis_};
  if (value.table() != nullptr) {
    Reader origin(value, path, *this);
    result.value = origin.get<T>("value");
    result.source = origin.source_;
    result.basis = origin.basis_;
    origin.known_.insert({"basis", "source"});
    origin.finish();
  } else if (const std::optional<T> bare = convert<T>(value, path)) {
    result.value = *bare;
  } else {
    return std::nullopt;
  }
  if (result.source.empty()) {
    report(value.position, path,
           "needs a source: write { value = ..., source = \"...\" }, or source = \"...\" in its "
           "table");
  }
  return result;
}

template <class T>
std::optional<T> Reader::maybe_any(std::string_view key) {
  const Value* const value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if constexpr (kIsSourced<T>) {
    known_.insert({"source", "basis"});
    return convert_sourced<decltype(T::value)>(*value, path_to(key));
  } else {
    return convert<T>(*value, path_to(key));
  }
}

template <class T>
T Reader::get(std::string_view key) {
  if (peek(key) == nullptr) {
    known_.emplace(key);
    report_missing(key, expected<T>());
    return harmless<T>();
  }
  return maybe_any<T>(key).value_or(harmless<T>());
}

template <class T>
T Reader::get(std::string_view key, T fallback) {
  return maybe_any<T>(key).value_or(std::move(fallback));
}

template <class T>
std::optional<T> Reader::maybe(std::string_view key) {
  return maybe_any<T>(key);
}

#define FORETRAIN_INSTANTIATE(T)                               \
  template T Reader::get<T>(std::string_view key);             \
  template T Reader::get<T>(std::string_view key, T fallback); \
  template std::optional<T> Reader::maybe<T>(std::string_view key);
#define FORETRAIN_INSTANTIATE_BOTH(T) \
  FORETRAIN_INSTANTIATE(T)            \
  FORETRAIN_INSTANTIATE(Sourced<T>)
FORETRAIN_INSTANTIATE(bool)
FORETRAIN_INSTANTIATE(std::string)
FORETRAIN_INSTANTIATE_BOTH(std::int64_t)
FORETRAIN_INSTANTIATE_BOTH(double)
FORETRAIN_INSTANTIATE_BOTH(Bytes)
FORETRAIN_INSTANTIATE_BOTH(BytesPerSecond)
FORETRAIN_INSTANTIATE_BOTH(Seconds)
FORETRAIN_INSTANTIATE_BOTH(Flops)
FORETRAIN_INSTANTIATE_BOTH(FlopsPerSecond)
FORETRAIN_INSTANTIATE_BOTH(Hertz)
#undef FORETRAIN_INSTANTIATE_BOTH
#undef FORETRAIN_INSTANTIATE

std::optional<std::int64_t> Reader::checked_count(const Value& value, const std::string& path,
                                                  Range range) {
  const auto* const whole = std::get_if<std::int64_t>(&value.data);
  if (whole != nullptr && *whole >= range.least && *whole <= range.most) {
    return *whole;
  }
  std::string limits = expected(range);
  if (whole != nullptr && range.most == Range().most) {
    limits = *whole > range.most ? "a whole number of at most " + std::to_string(range.most)
                                 : "a whole number of at least " + std::to_string(range.least);
  }
  report(value.position, path,
         "expected " + limits + ", got " +
             (whole != nullptr ? std::to_string(*whole) : describe(value)));
  return std::nullopt;
}

std::optional<std::int64_t> Reader::maybe_count(std::string_view key, Range range) {
  const Value* const value = find(key);
  return value != nullptr ? checked_count(*value, path_to(key), range) : std::nullopt;
}

std::int64_t Reader::count(std::string_view key, Range range) {
  if (peek(key) == nullptr) {
    known_.emplace(key);
    report_missing(key, expected(range));
  }
  return maybe_count(key, range).value_or(std::clamp<std::int64_t>(1, range.least, range.most));
}

std::int64_t Reader::count(std::string_view key, std::int64_t fallback, Range range) {
  return maybe_count(key, range).value_or(fallback);
}

std::vector<std::int64_t> Reader::counts(std::string_view key, Range range) {
  std::vector<std::int64_t> list;
  const Value* const value = find(key);
  if (value == nullptr) {
    return list;
  }
  const Array* const array = std::get_if<Array>(&value->data);
  if (array == nullptr || array->empty()) {
    report(value->position, path_to(key),
           "expected a list of whole numbers, got " +
               (array == nullptr ? describe(*value) : "an empty one"));
    return list;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string path = path_to(key) + '[' + std::to_string(i) + ']';
    list.push_back(checked_count((*array)[i], path, range).value_or(range.least));
  }
  return list;
}

Sourced<double> Reader::fraction(std::string_view key, double least, double most) {
  auto result = get<Sourced<double>>(key);
  const Value* const value = peek(key);
  if (value != nullptr && (result.value < least || result.value > most)) {
    report(value->position, path_to(key),
           "expected a number from " + toml_number(least) + " to " + toml_number(most) + ", got " +
               toml_number(result.value));
    return {std::clamp(1.0, least, most), result.source, result.basis};
  }
  return result;
}

std::optional<std::size_t> Reader::choose(std::string_view key, std::span<const std::string> words,
                                          bool is_required) {
  const Value* const value = find(key);
  if (value == nullptr) {
    if (is_required) {
      report_missing(key, "one of " + join({words.begin(), words.end()}));
    }
    return std::nullopt;
  }
  return word_in(*value, path_to(key), words);
}

std::vector<std::size_t> Reader::choose_several(std::string_view key,
                                                std::span<const std::string> words) {
  std::vector<std::size_t> indices;
  const Value* const value = find(key);
  if (value == nullptr) {
    return indices;
  }
  const Array* const array = std::get_if<Array>(&value->data);
  if (array == nullptr || array->empty()) {
    report(value->position, path_to(key),
           "expected a list of words, each one of " + join({words.begin(), words.end()}) +
               "; got " + (array == nullptr ? describe(*value) : "an empty one"));
    return indices;
  }
  for (std::size_t i = 0; i < array->size(); ++i) {
    const std::string path = path_to(key) + '[' + std::to_string(i) + ']';
    const std::optional<std::size_t> index = word_in((*array)[i], path, words);
    if (index && std::find(indices.begin(), indices.end(), *index) != indices.end()) {
      report((*array)[i].position, path, "'" + words[*index] + "' stands there twice");
    } else if (index) {
      indices.push_back(*index);
    }
  }
  return indices;
}

std::optional<std::size_t> Reader::word_in(const Value& value, const std::string& path,
                                           std::span<const std::string> words) {
  const std::string one_of = "one of " + join({words.begin(), words.end()});
  const auto* const text = std::get_if<std::string>(&value.data);
  if (text == nullptr) {
    report(value.position, path, "expected " + one_of + "; got " + describe(value));
    return std::nullopt;
  }
  const auto word = std::find(words.begin(), words.end(), *text);
  if (word != words.end()) {
    return static_cast<std::size_t>(word - words.begin());
  }
  std::string message = "expected " + one_of + "; got '" + printable(*text) + "'";
  if (const auto near = nearest(*text, words)) {
    message += "; did you mean '" + *near + "'?";
  }
  report(value.position, path, std::move(message));
  return std::nullopt;
}

}  // namespace foretrain::config
