// Random numbers that are functions of what they are for: no state, so the order in which they are
// asked for means nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>

namespace foretrain {

/// 64 bits that depend on every one of `key` and on their order.
[[nodiscard]] std::uint64_t random_word(std::initializer_list<std::uint64_t> key);

/// A number drawn for `key` from the normal distribution with mean 0 and standard deviation 1.
[[nodiscard]] double normal_number(std::initializer_list<std::uint64_t> key);

/// A factor drawn for `key` from the lognormal distribution with mean 1 whose logarithm has the
/// standard deviation `sigma`. Always positive; 1 when sigma is 0.
[[nodiscard]] double lognormal_factor(double sigma, std::initializer_list<std::uint64_t> key);

}  // namespace foretrain
