// The trainer's measurement file: what a step really took.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sim/config/value.hpp"
#include "sim/core/units.hpp"

namespace foretrain::live {

struct StepMeasurement {
  Seconds median;
  Seconds fastest;
  Seconds slowest;
  std::int64_t repeats = 0;
  std::string hardware;
  std::string communication;  ///< the library, and what joins the ranks

  /// (slowest - fastest) / median.
  [[nodiscard]] double spread() const { return (slowest - fastest) / median; }
};

/// Reads [measured] step_time and [measured.record]: fastest, slowest, repeats, and optionally
/// hardware and communication. Throws ConfigError.
[[nodiscard]] StepMeasurement read_measurement(config::Sources& sources, const std::string& path);

}  // namespace foretrain::live
