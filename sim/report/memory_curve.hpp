// Device memory over a step: a curve from the program's allocations and the timeline, and its peak.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "sim/engine/engine.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

using BytesByClass = std::array<Bytes, kNumMemoryClasses>;

struct MemoryPoint {
  Seconds time;
  BytesByClass held;  ///< from this time on
  [[nodiscard]] Bytes total() const;
};

/// What a rank holds, from time zero; a point at every change. Never empty.
[[nodiscard]] std::vector<MemoryPoint> memory_curve(const Program& program,
                                                    const Timeline& timeline, Rank rank);
/// The point of the curve that holds most; the first on a tie.
[[nodiscard]] MemoryPoint memory_peak(const std::vector<MemoryPoint>& curve);

[[nodiscard]] std::string_view name_of(MemoryClass memory);

}  // namespace foretrain
