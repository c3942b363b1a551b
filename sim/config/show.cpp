// Quantities as text for people: three significant digits and a fitting prefix.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include "sim/config/quantity.hpp"
#include "sim/config/units.hpp"
#include "sim/core/error.hpp"

namespace foretrain::config {

namespace {

/// `value` rounded to three significant digits, and the decimals that these leave.
std::string three_digits(double value) {
  std::array<char, 400> text{};
  char* const end = text.data() + text.size();
  const double magnitude = std::abs(value);
  const int exponent = magnitude > 0 ? static_cast<int>(std::floor(std::log10(magnitude))) : 0;
  const int decimals = std::clamp(2 - exponent, 0, 20);
  char* stop = std::to_chars(text.data(), end, value, std::chars_format::fixed, decimals).ptr;
  if (decimals > 0) {
    while (stop[-1] == '0') {
      --stop;
    }
    if (stop[-1] == '.') {
      --stop;
    }
  }
  return std::string(text.data(), stop);
}

double round_to_three_digits(double value) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                 std::chars_format::scientific, 2);
  double rounded = 0;
  std::from_chars(text.data(), end.ptr, rounded);
  return rounded;
}

/// The largest unit in which the value, once rounded, is at least 1: 999.9 GB is 1 TB, not 1000 GB.
/// Smaller values take the smallest unit, and zero the base unit.
const Unit& best_unit(double value, UnitKind kind) {
  const Unit* best = nullptr;
  for (const Unit& unit : kUnits) {
    if (unit.kind != kind || !unit.is_shown) {
      continue;
    }
    const bool reaches = std::abs(round_to_three_digits(value / unit.factor)) >= 1;
    if (best == nullptr || reaches || (value == 0 && unit.factor == 1)) {
      best = &unit;
    }
  }
  FORETRAIN_ASSERT(best != nullptr, "every kind of quantity has units");
  return *best;
}

std::string show_as(double value, UnitKind kind) {
  if (!std::isfinite(value)) {
    return std::isnan(value) ? "nan" : (value < 0 ? "-inf" : "inf");
  }
  const Unit& unit = best_unit(value, kind);
  return three_digits(round_to_three_digits(value / unit.factor)) + ' ' +
         std::string(unit.spelling);
}

}  // namespace

std::string show(Bytes size) { return show_as(size.value, UnitKind::size); }
std::string show(BytesPerSecond rate) { return show_as(rate.value, UnitKind::rate); }
std::string show(Seconds time) { return show_as(time.value, UnitKind::time); }
std::string show(Flops work) { return show_as(work.value, UnitKind::work); }
std::string show(FlopsPerSecond rate) { return show_as(rate.value, UnitKind::compute_rate); }

}  // namespace foretrain::config
