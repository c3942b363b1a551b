// The units that quantities are written in, for the parser and the printer. Only for this folder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace foretrain::config {

enum class UnitKind : std::uint8_t { size, rate, time, work, compute_rate, frequency };
/// "a size", "a rate", ...
[[nodiscard]] std::string_view name_of(UnitKind kind);
[[nodiscard]] std::string_view example_of(UnitKind kind);

struct Unit {
  std::string_view spelling;
  UnitKind kind;
  double factor;         ///< of the base unit: byte, second, FLOP, hertz
  bool is_shown = true;  ///< show() may choose it
};

inline constexpr double kKi = 1024.0;

// Within a kind, units that may be shown stand from small to large.
inline constexpr auto kUnits = std::to_array<Unit>({
    {"B", UnitKind::size, 1},
    {"kB", UnitKind::size, 1e3},
    {"MB", UnitKind::size, 1e6},
    {"GB", UnitKind::size, 1e9},
    {"TB", UnitKind::size, 1e12},
    {"KiB", UnitKind::size, kKi, false},
    {"MiB", UnitKind::size, kKi* kKi, false},
    {"GiB", UnitKind::size, kKi* kKi* kKi, false},
    {"TiB", UnitKind::size, kKi* kKi* kKi* kKi, false},
    {"B/s", UnitKind::rate, 1},
    {"kB/s", UnitKind::rate, 1e3},
    {"MB/s", UnitKind::rate, 1e6},
    {"GB/s", UnitKind::rate, 1e9},
    {"TB/s", UnitKind::rate, 1e12},
    {"KiB/s", UnitKind::rate, kKi, false},
    {"MiB/s", UnitKind::rate, kKi* kKi, false},
    {"GiB/s", UnitKind::rate, kKi* kKi* kKi, false},
    {"TiB/s", UnitKind::rate, kKi* kKi* kKi* kKi, false},
    {"b/s", UnitKind::rate, 1.0 / 8, false},
    {"kb/s", UnitKind::rate, 1e3 / 8, false},
    {"Mb/s", UnitKind::rate, 1e6 / 8, false},
    {"Gb/s", UnitKind::rate, 1e9 / 8, false},
    {"Tb/s", UnitKind::rate, 1e12 / 8, false},
    {"ns", UnitKind::time, 1e-9},
    {"us", UnitKind::time, 1e-6},
    {"ms", UnitKind::time, 1e-3},
    {"s", UnitKind::time, 1},
    {"min", UnitKind::time, 60},
    {"h", UnitKind::time, 3600},
    {"d", UnitKind::time, 86400, false},
    {"FLOP", UnitKind::work, 1},
    {"kFLOP", UnitKind::work, 1e3},
    {"MFLOP", UnitKind::work, 1e6},
    {"GFLOP", UnitKind::work, 1e9},
    {"TFLOP", UnitKind::work, 1e12},
    {"PFLOP", UnitKind::work, 1e15},
    {"EFLOP", UnitKind::work, 1e18},
    {"FLOP/s", UnitKind::compute_rate, 1},
    {"kFLOP/s", UnitKind::compute_rate, 1e3},
    {"MFLOP/s", UnitKind::compute_rate, 1e6},
    {"GFLOP/s", UnitKind::compute_rate, 1e9},
    {"TFLOP/s", UnitKind::compute_rate, 1e12},
    {"PFLOP/s", UnitKind::compute_rate, 1e15},
    {"EFLOP/s", UnitKind::compute_rate, 1e18},
    {"Hz", UnitKind::frequency, 1},
    {"kHz", UnitKind::frequency, 1e3},
    {"MHz", UnitKind::frequency, 1e6},
    {"GHz", UnitKind::frequency, 1e9},
});

}  // namespace foretrain::config
