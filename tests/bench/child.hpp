// Work in a process of its own, so that its memory and time are nobody else's.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace foretrain::bench {

struct Cost {
  double cpu_seconds = 0;  ///< user and system
  double peak_mib = 0;
  double answer = 0;  ///< what the work returned
};

/// The cheapest of `times` children that do the work one after the other. Throws when one fails.
[[nodiscard]] Cost cost_of(const std::function<double()>& work, int times);

}  // namespace foretrain::bench
