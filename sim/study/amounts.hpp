// Money, power, calendar time and what a grid emits, as people write them: "$2.5/h", "$2M", "700
// W", "30 d", "370 g/kWh".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "sim/core/units.hpp"

namespace foretrain {

/// "$2M", "$1.5 k", "$900": US dollars.
[[nodiscard]] std::optional<double> parse_money(std::string_view text);
/// "$2.5/h": US dollars per GPU and hour.
[[nodiscard]] std::optional<double> parse_hourly_price(std::string_view text);
/// "30 d", "2 w", "12 h": days and weeks besides the times of a run file.
[[nodiscard]] std::optional<Seconds> parse_period(std::string_view text);
/// "700 W", "1.2 kW": watts.
[[nodiscard]] std::optional<double> parse_power(std::string_view text);
/// "370 g/kWh": grams of CO2 equivalent per kWh.
[[nodiscard]] std::optional<double> parse_grid(std::string_view text);

/// "$1.23 M", three significant digits.
[[nodiscard]] std::string show_money(double dollars);
/// "15 T", "472 G".
[[nodiscard]] std::string show_tokens(double tokens);
/// "27.6 d"; hours below two days.
[[nodiscard]] std::string show_period(Seconds period);

/// The option's value, read by `parse`. Throws ConfigError that says what was expected.
template <class T>
[[nodiscard]] T amount_of(const std::string& option, const std::string& text,
                          std::optional<T> (*parse)(std::string_view), const std::string& expected);

}  // namespace foretrain
