// SPDX-License-Identifier: Apache-2.0
// Statistics against values worked out by hand.
#include "validation/statistics.hpp"

#include <cmath>

#include "tests/support/catch.hpp"

namespace foretrain::validation {
namespace {

TEST_CASE("a quantile interpolates between neighbours of the sorted values", "[statistics]") {
  CHECK(quantile({3, 1, 2}, 0.5) == Catch::Approx(2));
  CHECK(quantile({4, 1, 2, 3}, 0.5) ==
        Catch::Approx(2.5));  // half way between the second and third
  CHECK(quantile({10, 20, 30, 40, 50}, 0.9) == Catch::Approx(46));  // place 3.6 of 0 to 4
  CHECK(quantile({7}, 0.9) == Catch::Approx(7));
  CHECK(quantile({5, 9}, 0) == Catch::Approx(5));
  CHECK(quantile({5, 9}, 1) == Catch::Approx(9));
}

TEST_CASE("a weighted quantile is where that share of the weight lies below", "[statistics]") {
  // 1 has half of the weight, 5 and 9 a quarter each.
  CHECK(weighted_quantile({9, 1, 5}, {1, 2, 1}, 0.5) == Catch::Approx(1));
  CHECK(weighted_quantile({9, 1, 5}, {1, 2, 1}, 0.75) == Catch::Approx(5));
  CHECK(weighted_quantile({9, 1, 5}, {1, 2, 1}, 0.76) == Catch::Approx(9));
  CHECK(weighted_quantile({9, 1, 5}, {1, 2, 1}, 0) == Catch::Approx(1));
}

TEST_CASE("a summary keeps the sign in bias and worst, and drops it elsewhere", "[statistics]") {
  const ErrorSummary summary = summarize({0.1, -0.3, 0.2, 0.0});
  CHECK(summary.count == 4);
  CHECK(summary.mean_absolute == Catch::Approx(0.15));  // (0.1 + 0.3 + 0.2 + 0) / 4
  CHECK(summary.median_absolute == Catch::Approx(0.15));
  CHECK(summary.p90_absolute == Catch::Approx(0.27));  // place 2.7 of 0, 0.1, 0.2, 0.3
  CHECK(summary.bias == Catch::Approx(0.0).margin(1e-12));
  CHECK(summary.worst == Catch::Approx(-0.3));
  CHECK(summarize({}).count == 0);
}

TEST_CASE("Kendall's tau is 1 for the same order and -1 for the reverse", "[statistics]") {
  CHECK(kendall_tau({1, 2, 3, 4}, {10, 20, 30, 40}).value() == Catch::Approx(1));
  CHECK(kendall_tau({1, 2, 3, 4}, {40, 30, 20, 10}).value() == Catch::Approx(-1));
}

TEST_CASE("Kendall's tau counts pairs in order less pairs out of order", "[statistics]") {
  // Of the six pairs of (1,1) (2,3) (3,2) (4,4) only (2,3)-(3,2) is out of order: (5 - 1) / 6.
  CHECK(kendall_tau({1, 2, 3, 4}, {1, 3, 2, 4}).value() == Catch::Approx(4.0 / 6));
}

TEST_CASE("Kendall's tau-b divides by the pairs without a tie in each list", "[statistics]") {
  // Pairs: (1,1)-(2,2) in order, (1,1)-(2,3) in order, (2,2)-(2,3) tied in the first list:
  // 2 / sqrt(2 x 3).
  CHECK(kendall_tau({1, 2, 2}, {1, 2, 3}).value() == Catch::Approx(2 / std::sqrt(6.0)));
  CHECK_FALSE(kendall_tau({1, 1, 1}, {1, 2, 3}).has_value());
  CHECK_FALSE(kendall_tau({1}, {1}).has_value());
}

TEST_CASE("regret is what the chosen layout really costs above the best", "[statistics]") {
  // The second is predicted fastest and takes 12, the best takes 10.
  CHECK(regret({10, 12, 20}, {9, 8, 21}) == Catch::Approx(0.2));
  CHECK(regret({10, 12, 20}, {1, 2, 3}) == Catch::Approx(0));
  CHECK(regret({10, 12}, {5, 5}) == Catch::Approx(0));  // the first of equals
}

}  // namespace
}  // namespace foretrain::validation
