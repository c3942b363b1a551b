// Where compression stops paying.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain::live {

/// Step times of two ways to train at one link rate.
struct RatePair {
  BytesPerSecond rate;
  Seconds plain;
  Seconds compressed;
};

/// The rate up to which compression pays: where log(compressed / plain), joined linearly over
/// log(rate), first changes from negative to positive. Nothing when it always pays or never does.
[[nodiscard]] std::optional<BytesPerSecond> break_even(std::vector<RatePair> pairs);

}  // namespace foretrain::live
