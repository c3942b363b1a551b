// Fits what single-rank steps say beyond the kernels' own table. Communication has no part in it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "validation/live/platform_files.hpp"

namespace foretrain::live {

/// One model's step on one rank, measured, and as it was predicted.
struct LoneStep {
  Seconds measured;
  Seconds predicted;      ///< at full level, with a host that takes nothing
  Seconds at_half_level;  ///< with `sustained` at one half
  Seconds with_host;      ///< at full level, with `host` per layer
  Seconds host;
};

/// Every prediction is a + b / sustained + c host_per_layer: solved for two models, or with a host
/// that takes nothing where that would be negative or there is one model; then in the sense of
/// least squares of relative errors. `sustained` stays within what a GPU file may say. REQUIRES:
/// steps is not empty.
[[nodiscard]] Level fit_level(const std::vector<LoneStep>& steps);

}  // namespace foretrain::live
