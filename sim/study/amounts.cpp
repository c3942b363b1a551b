// SPDX-License-Identifier: Apache-2.0
#include "sim/study/amounts.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

// A number at the front of `text`, taken off it with the blanks behind it.
std::optional<double> take_number(std::string_view& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (text.starts_with(' ')) {
    text.remove_prefix(1);
  }
  return number;
}

template <std::size_t N>
using Units = std::array<std::pair<std::string_view, double>, N>;

template <std::size_t N>
std::optional<double> parse_with(std::string_view text, const Units<N>& units) {
  const std::optional<double> number = take_number(text);
  for (const auto& [unit, factor] : units) {
    if (number && text == unit) {
      return *number * factor;
    }
  }
  return std::nullopt;
}

constexpr double kSecondsOfDay = 86400;

}  // namespace

std::optional<double> parse_money(std::string_view text) {
  constexpr Units<4> kUnits = {{{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}}};
  if (!text.starts_with('$')) {
    return std::nullopt;
  }
  return parse_with(text.substr(1), kUnits);
}

std::optional<double> parse_hourly_price(std::string_view text) {
  constexpr Units<1> kUnits = {{{"/h", 1}}};
  if (!text.starts_with('$')) {
    return std::nullopt;
  }
  return parse_with(text.substr(1), kUnits);
}

std::optional<Seconds> parse_period(std::string_view text) {
  constexpr Units<4> kUnits = {{{"d", kSecondsOfDay},
                                {"days", kSecondsOfDay},
                                {"w", 7 * kSecondsOfDay},
                                {"weeks", 7 * kSecondsOfDay}}};
  if (const auto days = parse_with(text, kUnits)) {
    return Seconds(*days);
  }
  return config::parse_quantity<Seconds>(text);
}

std::optional<double> parse_power(std::string_view text) {
  constexpr Units<2> kUnits = {{{"W", 1}, {"kW", 1e3}}};
  return parse_with(text, kUnits);
}

std::optional<double> parse_grid(std::string_view text) {
  constexpr Units<2> kUnits = {{{"g/kWh", 1}, {"kg/kWh", 1e3}}};
  return parse_with(text, kUnits);
}

std::string show_tokens(double tokens) {
  return tokens >= 1e12 ? fmt::format("{:.3g} T", tokens * 1e-12)
                        : fmt::format("{:.3g} G", tokens * 1e-9);
}

std::string show_money(double dollars) {
  constexpr std::array<std::pair<std::string_view, double>, 3> kScales = {
      {{" G", 1e9}, {" M", 1e6}, {" k", 1e3}}};
  for (const auto& [prefix, scale] : kScales) {
    if (dollars >= scale) {
      return fmt::format("${:.3g}{}", dollars / scale, prefix);
    }
  }
  return fmt::format("${:.0f}", dollars);
}

std::string show_period(Seconds period) {
  const double days = period.value / kSecondsOfDay;
  if (days < 2) {
    return fmt::format("{:.3g} h", 24 * days);
  }
  return days < 100 ? fmt::format("{:.1f} d", days) : fmt::format("{:.0f} d", days);
}

template <class T>
T amount_of(const std::string& option, const std::string& text,
            std::optional<T> (*parse)(std::string_view), const std::string& expected) {
  const std::optional<T> amount = parse(text);
  if (!amount) {
    throw ConfigError({Diagnostic{option, 1, 1, "",
                                  fmt::format("expected {}, got \"{}\"", expected, text), "", 0}});
  }
  return *amount;
}

template double amount_of(const std::string&, const std::string&,
                          std::optional<double> (*)(std::string_view), const std::string&);
template Seconds amount_of(const std::string&, const std::string&,
                           std::optional<Seconds> (*)(std::string_view), const std::string&);

}  // namespace foretrain
