// Is a draw the same whenever it is asked for, and does it follow its distribution?
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/random.hpp"

#include <cmath>
#include <set>

#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;

namespace foretrain::testing {
namespace {

constexpr std::uint64_t kSeed = 7;
constexpr std::uint64_t kDraws = 40'000;

}  // namespace

TEST_CASE("a draw depends on every word of its key and on their order", "[core]") {
  const std::uint64_t word = random_word({1, 2, 3, 4});
  CHECK(random_word({1, 2, 3, 4}) == word);
  CHECK(random_word({2, 1, 3, 4}) != word);
  CHECK(random_word({1, 2, 3, 5}) != word);
  CHECK(random_word({0, 2, 3, 4}) != word);
  CHECK(random_word({1, 2, 3}) != word);
}

TEST_CASE("small keys give words that all differ", "[core]") {
  std::set<std::uint64_t> words;
  for (std::uint64_t a = 0; a < 30; ++a) {
    for (std::uint64_t b = 0; b < 30; ++b) {
      words.insert(random_word({kSeed, a, b}));
    }
  }
  CHECK(words.size() == 900);
}

TEST_CASE("lognormal factors have the mean 1 and the spread that was asked for", "[core]") {
  const double sigma = GENERATE(0.02, 0.2, 0.5);
  double sum = 0;
  double log_sum = 0;
  double log_squares = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double factor = lognormal_factor(sigma, {kSeed, i / 100, 0, i % 100});
    sum += factor;
    log_sum += std::log(factor);
    log_squares += std::log(factor) * std::log(factor);
  }
  const double n = static_cast<double>(kDraws);
  const double log_mean = log_sum / n;
  const double log_deviation = std::sqrt(log_squares / n - log_mean * log_mean);
  // Four standard errors: of the mean sqrt((exp(sigma^2) - 1) / n), of the mean of the logarithm
  // sigma / sqrt(n), of its deviation sigma / sqrt(2 n).
  INFO("sigma " << sigma);
  CHECK_THAT(sum / n, WithinAbs(1, 4 * std::sqrt(std::expm1(sigma * sigma) / n)));
  CHECK_THAT(log_mean, WithinAbs(-sigma * sigma / 2, 4 * sigma / std::sqrt(n)));
  CHECK_THAT(log_deviation, WithinAbs(sigma, 4 * sigma / std::sqrt(2 * n)));
}

TEST_CASE("neighbouring draws are not correlated", "[core]") {
  const double sigma = 0.1;
  double products = 0;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const double a = std::log(lognormal_factor(sigma, {kSeed, 0, 0, i})) + sigma * sigma / 2;
    const double b = std::log(lognormal_factor(sigma, {kSeed, 0, 0, i + 1})) + sigma * sigma / 2;
    products += a * b / (sigma * sigma);
  }
  // The mean of products of independent standard normals has the standard error 1 / sqrt(n).
  const double n = static_cast<double>(kDraws);
  CHECK_THAT(products / n, WithinAbs(0, 4 / std::sqrt(n)));
}

TEST_CASE("without spread a lognormal factor is exactly 1", "[core]") {
  CHECK(lognormal_factor(0, {kSeed, 3}) == 1.0);
}

}  // namespace foretrain::testing
