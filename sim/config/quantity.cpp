// Text -> quantity, and what is wrong with a text that is none.
// Numbers go through from_chars, which no locale can bend.
// SPDX-License-Identifier: Apache-2.0
#include "sim/config/quantity.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "sim/config/units.hpp"
#include "sim/core/suggest.hpp"

namespace foretrain::config {

namespace {

constexpr auto kCountSuffixes = std::to_array<std::pair<std::string_view, double>>(
    {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18}});

template <class Q>
constexpr UnitKind kKindOf = UnitKind::size;
template <>
constexpr UnitKind kKindOf<BytesPerSecond> = UnitKind::rate;
template <>
constexpr UnitKind kKindOf<Seconds> = UnitKind::time;
template <>
constexpr UnitKind kKindOf<Flops> = UnitKind::work;
template <>
constexpr UnitKind kKindOf<FlopsPerSecond> = UnitKind::compute_rate;
template <>
constexpr UnitKind kKindOf<Hertz> = UnitKind::frequency;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

struct Split {
  double number = 0;
  std::string_view unit;
};

/// "3.35 TB/s" -> 3.35 and "TB/s". Nothing unless the text begins with a decimal number in range.
std::optional<Split> split(std::string_view text) {
  if (text.empty() || !is_digit(text.front())) {  // from_chars would take "nan", "inf" and "-1"
    return std::nullopt;
  }
  Split result;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, result.number);
  if (error != std::errc() || !is_digit(rest[-1])) {
    return std::nullopt;
  }
  result.unit = std::string_view(rest, static_cast<std::size_t>(end - rest));
  if (result.unit.starts_with(' ')) {
    result.unit.remove_prefix(1);
    if (result.unit.empty()) {
      return std::nullopt;
    }
  }
  return result;
}

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
}

const Unit* find_unit(std::string_view spelling) {
  const auto* const unit = std::find_if(kUnits.begin(), kUnits.end(),
                                        [&](const Unit& u) { return u.spelling == spelling; });
  return unit == kUnits.end() ? nullptr : unit;
}

std::optional<double> parse(std::string_view text, UnitKind kind) {
  const std::optional<Split> parts = split(text);
  if (!parts) {
    return std::nullopt;
  }
  const Unit* const unit = find_unit(parts->unit);
  if (unit == nullptr || unit->kind != kind) {
    return std::nullopt;
  }
  return finite(parts->number * unit->factor);
}

std::string unknown_unit(std::string_view spelling, UnitKind kind) {
  std::vector<std::string> names;
  for (const Unit& unit : kUnits) {
    if (unit.kind == kind) {
      names.emplace_back(unit.spelling);
    }
  }
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return text;
  };
  std::string message = "unknown unit '" + std::string(spelling) + "'";
  // A unit in the wrong case is nearer than any edit: "gb/s" means "GB/s" or "Gb/s", so say both.
  std::string same_letters;
  for (const std::string& name : names) {
    if (lower(name) == lower(std::string(spelling))) {
      same_letters += (same_letters.empty() ? "'" : " or '") + name + "'";
    }
  }
  if (!same_letters.empty()) {
    return message + "; did you mean " + same_letters + "?";
  }
  if (const auto name = nearest(spelling, names)) {
    return message + "; did you mean '" + *name + "'?";
  }
  return message;
}

std::string mistake(std::string_view text, UnitKind kind) {
  if (text.size() > 1 && text.front() == '-' && is_digit(text[1])) {
    return "a negative number";
  }
  const std::optional<Split> parts = split(text);
  if (!parts) {
    return "not a number with a unit";
  }
  if (parts->unit.empty()) {
    return "a number without a unit";
  }
  const Unit* const unit = find_unit(parts->unit);
  if (unit == nullptr) {
    return unknown_unit(parts->unit, kind);
  }
  if (unit->kind != kind) {
    return std::string(name_of(unit->kind)) + ", not " + std::string(name_of(kind));
  }
  return "too large";
}

}  // namespace

std::string_view name_of(UnitKind kind) {
  switch (kind) {
    case UnitKind::size:
      return "a size";
    case UnitKind::rate:
      return "a rate";
    case UnitKind::time:
      return "a time";
    case UnitKind::work:
      return "an amount of work";
    case UnitKind::compute_rate:
      return "a compute rate";
    case UnitKind::frequency:
      return "a frequency";
  }
  return "";
}

std::string_view example_of(UnitKind kind) {
  switch (kind) {
    case UnitKind::size:
      return "80 GB";
    case UnitKind::rate:
      return "3.35 TB/s";
    case UnitKind::time:
      return "5 us";
    case UnitKind::work:
      return "2 PFLOP";
    case UnitKind::compute_rate:
      return "989 TFLOP/s";
    case UnitKind::frequency:
      return "1.4 GHz";
  }
  return "";
}

template <class Q>
std::optional<Q> parse_quantity(std::string_view text) {
  const std::optional<double> value = parse(text, kKindOf<Q>);
  return value ? std::optional<Q>(Q(*value)) : std::nullopt;
}

template <class Q>
std::string quantity_mistake(std::string_view text) {
  return mistake(text, kKindOf<Q>);
}

template <class Q>
std::string expected_quantity() {
  const UnitKind kind = kKindOf<Q>;
  return std::string(name_of(kind)) + " such as \"" + std::string(example_of(kind)) + '"';
}

#define FORETRAIN_INSTANTIATE(Q)                                      \
  template std::optional<Q> parse_quantity<Q>(std::string_view text); \
  template std::string quantity_mistake<Q>(std::string_view text);    \
  template std::string expected_quantity<Q>();
FORETRAIN_INSTANTIATE(Bytes)
FORETRAIN_INSTANTIATE(BytesPerSecond)
FORETRAIN_INSTANTIATE(Seconds)
FORETRAIN_INSTANTIATE(Flops)
FORETRAIN_INSTANTIATE(FlopsPerSecond)
FORETRAIN_INSTANTIATE(Hertz)
#undef FORETRAIN_INSTANTIATE

std::optional<double> parse_count(std::string_view text) {
  const std::optional<Split> parts = split(text);
  if (!parts) {
    return std::nullopt;
  }
  for (const auto& [suffix, factor] : kCountSuffixes) {
    if (parts->unit == suffix) {
      return finite(parts->number * factor);
    }
  }
  return std::nullopt;
}

}  // namespace foretrain::config
