// Closed forms of checkpoints and failures, against what their authors published and one another.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "sim/study/goodput/estimate.hpp"
#include "sim/study/goodput/formulas.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::goodput::testing {
namespace {

constexpr Seconds minutes(double count) { return Seconds(60 * count); }
constexpr Seconds hours(double count) { return Seconds(3600 * count); }

TEST_CASE("Young's interval is the geometric mean of twice the stall and the time between failures",
          "[study]") {
  CHECK_THAT(young_interval(minutes(5), hours(24)).value, WithinRel(minutes(120).value, 1e-12));
  CHECK_THAT(young_interval(Seconds(2), Seconds(9)).value, WithinRel(6.0, 1e-12));
}

TEST_CASE("Daly's interval is what the captions of his figures 3 to 5 state", "[study]") {
  // Stall 5 min: between failures 24 h, 6 h, 15 min; best intervals 117, 57 and 9.1 min.
  CHECK_THAT(daly_interval(minutes(5), hours(24)).value / 60, WithinAbs(117, 0.5));
  CHECK_THAT(daly_interval(minutes(5), hours(6)).value / 60, WithinAbs(57, 0.5));
  CHECK_THAT(daly_interval(minutes(5), minutes(15)).value / 60, WithinAbs(9.1, 0.05));
}

TEST_CASE("where a checkpoint takes twice the time between failures Daly's interval is that time",
          "[study]") {
  CHECK(daly_interval(Seconds(20), Seconds(10)) == Seconds(10));
  CHECK(daly_interval(Seconds(30), Seconds(10)) == Seconds(10));
}

TEST_CASE("no interval near Daly's is noticeably more efficient than it", "[study]") {
  for (const double stall : {1.0, 10.0, 100.0, 600.0}) {
    const Seconds best = daly_interval(Seconds(stall), Seconds(10'000));
    const auto efficiency = [&](double factor) {
      return daly_efficiency({best * factor, Seconds(stall), Seconds(300), Seconds(10'000)});
    };
    for (const double factor : {0.25, 0.5, 0.8, 1.25, 2.0, 4.0}) {
      INFO(stall << " s, interval times " << factor);
      CHECK(efficiency(factor) < efficiency(1));
    }
    // A perturbation series: the true optimum is within a per mille of it in efficiency.
    CHECK(efficiency(0.98) < 1.001 * efficiency(1));
    CHECK(efficiency(1.02) < 1.001 * efficiency(1));
  }
}

TEST_CASE("to first order all three efficiencies agree", "[study]") {
  // Losses of a per mille: what is left out is of second order, some parts in a million.
  const Renewal renewal{Seconds(1000), Seconds(1), Seconds(500), Seconds(1e6)};
  const double first = first_order_efficiency(renewal);
  CHECK_THAT(first, WithinRel(1 - 0.001 - 0.001, 1e-12));
  CHECK_THAT(daly_efficiency(renewal), WithinAbs(first, 3e-6));
  CHECK_THAT(kokolis_ettr(renewal), WithinAbs(first, 3e-6));
}

TEST_CASE("without failures in reach the efficiency is the share of the checkpoints alone",
          "[study]") {
  const Renewal renewal{Seconds(300), Seconds(100), Seconds(500), Seconds(1e15)};
  CHECK_THAT(daly_efficiency(renewal), WithinRel(0.75, 1e-9));
  CHECK_THAT(kokolis_ettr(renewal), WithinRel(0.75, 1e-9));
}

TEST_CASE("Meta's projected times to failure follow from its rate of nodes", "[study]") {
  // 6.50 failures in 1,000 node days: 1.8 h with 16,384 GPUs, 0.23 h with 131,072.
  const auto projected = [](std::int64_t gpus) {
    Job job;
    job.parts.push_back({gpus / 8, hours(24 * 1000 / 6.5), 1, {}, 1, {}});
    return between_failures(job).value / 3600;
  };
  CHECK_THAT(projected(16'384), WithinAbs(1.8, 0.05));
  CHECK_THAT(projected(131'072), WithinAbs(0.23, 0.005));
}

TEST_CASE("arrivals that last are there for a share of the time", "[study]") {
  CHECK_THAT(busy_share(Seconds(10), Seconds(10)), WithinRel(1 - std::exp(-1.0), 1e-12));
  CHECK_THAT(busy_share(Seconds(1), Seconds(1e6)), WithinRel(1e-6, 1e-5));
  CHECK(busy_share(Seconds(0), Seconds(5)) == 0);
}

}  // namespace
}  // namespace foretrain::goodput::testing
