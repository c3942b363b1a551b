// SPDX-License-Identifier: Apache-2.0
#include "sim/core/random.hpp"

#include <cmath>
#include <numbers>

namespace foretrain {
namespace {

// The increment of SplitMix64, and its finaliser: Steele, Lea, Flood, "Fast splittable pseudorandom
// number generators", OOPSLA 2014, figure 16 (constants by Stafford).
constexpr std::uint64_t kIncrement = 0x9e3779b97f4a7c15;

constexpr std::uint64_t mix(std::uint64_t word) {
  word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27U)) * 0x94d049bb133111eb;
  return word ^ (word >> 31U);
}

// In (0, 1): the middles of 2^52 equal steps.
double uniform(std::uint64_t word) { return (static_cast<double>(word >> 12U) + 0.5) * 0x1p-52; }

// Box and Muller, "A note on the generation of random normal deviates", Annals of Mathematical
// Statistics 29 (1958).
double normal(std::uint64_t word) {
  const double radius = std::sqrt(-2 * std::log(uniform(mix(word + kIncrement))));
  return radius * std::cos(2 * std::numbers::pi * uniform(mix(word + 2 * kIncrement)));
}

}  // namespace

std::uint64_t random_word(std::initializer_list<std::uint64_t> key) {
  std::uint64_t word = 0;
  for (const std::uint64_t part : key) {
    word = mix(word + part + kIncrement);
  }
  return word;
}

double normal_number(std::initializer_list<std::uint64_t> key) { return normal(random_word(key)); }

// exp(m + sigma z) has the mean exp(m + sigma^2 / 2), so m = -sigma^2 / 2 (Johnson, Kotz,
// Balakrishnan, "Continuous Univariate Distributions", volume 1, chapter 14).
double lognormal_factor(double sigma, std::initializer_list<std::uint64_t> key) {
  return std::exp(sigma * normal(random_word(key)) - sigma * sigma / 2);
}

}  // namespace foretrain
