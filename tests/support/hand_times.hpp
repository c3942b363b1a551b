// Times that tests derive by hand: how near the engine comes to them, and what breakdowns count in.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace foretrain::testing {

/// Of a time that is derived by hand, how much a played one may differ from it.
inline constexpr double kTolerance = 1e-9;

/// A millisecond in picoseconds, the counts of a breakdown.
inline constexpr std::int64_t kMillisecond = 1'000'000'000;

}  // namespace foretrain::testing
