// Half precision on a processor: Eigen converts to it one by one, and Gloo adds it bit by bit.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace foretrain::trainer {

/// To the nearest, ties to even.
void halves_of(std::uint16_t* out, const float* in, std::int64_t count);
/// out = a + b, each sum rounded; `out` may be `a` or `b`.
void add_halves(std::uint16_t* out, const std::uint16_t* a, const std::uint16_t* b,
                std::int64_t count);

}  // namespace foretrain::trainer
