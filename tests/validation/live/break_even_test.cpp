// SPDX-License-Identifier: Apache-2.0
// The rate where two curves of step times cross.
#include "validation/live/break_even.hpp"

#include <algorithm>
#include <cmath>

#include "tests/support/catch.hpp"

namespace foretrain::live {
namespace {

RatePair pair_at(double rate, double plain, double compressed) {
  return {BytesPerSecond(rate), Seconds(plain), Seconds(compressed)};
}

TEST_CASE("break-even is found where the ratio of the times is a power of the rate", "[live]") {
  // compressed / plain = (rate / 3e7)^0.5, which is 1 at 30 MB/s, between any two rates around it.
  std::vector<RatePair> pairs;
  for (const double rate : {4e7, 1e7, 2e7}) {  // in any order
    pairs.push_back(pair_at(rate, 2, 2 * std::sqrt(rate / 3e7)));
  }
  REQUIRE(break_even(pairs));
  CHECK(break_even(pairs)->value == Catch::Approx(3e7));
}

TEST_CASE("compression that always pays, or never does, has no break-even", "[live]") {
  CHECK_FALSE(break_even({pair_at(1e7, 2, 1), pair_at(2e7, 2, 1.9)}));
  CHECK_FALSE(break_even({pair_at(1e7, 2, 2.1), pair_at(2e7, 2, 2.2)}));
  CHECK_FALSE(break_even({pair_at(1e7, 2, 1)}));
}

TEST_CASE("equal times are a break-even of their own rate", "[live]") {
  CHECK(break_even({pair_at(1e7, 2, 1), pair_at(2e7, 2, 2)})->value == Catch::Approx(2e7));
}

}  // namespace
}  // namespace foretrain::live
