// SPDX-License-Identifier: Apache-2.0
// What single-rank steps say, where the truth is known.
#include "validation/live/level.hpp"

#include "tests/support/catch.hpp"

namespace foretrain::live {
namespace {

/// A step of `memory` seconds that do not depend on the level, `compute` at full level, and so many
/// layers' host, at a level and a host's time.
LoneStep step(double memory, double compute, double layers, const Level& truth) {
  LoneStep one;
  one.measured = Seconds(memory + compute / truth.sustained + layers * truth.host_per_layer.value);
  one.predicted = Seconds(memory + compute);
  one.at_half_level = Seconds(memory + 2 * compute);
  one.host = Seconds(1e-3);
  one.with_host = Seconds(memory + compute + layers * 1e-3);
  return one;
}

TEST_CASE("two models tell the level of compute from the host's time", "[live]") {
  const Level truth{0.8, Seconds(0.5e-3)};
  const Level found = fit_level({step(0.02, 0.3, 12, truth), step(0.05, 0.6, 18, truth)});
  CHECK(found.sustained == Catch::Approx(0.8));
  CHECK(found.host_per_layer.value == Catch::Approx(0.5e-3));
}

TEST_CASE("one model gives the level alone", "[live]") {
  const Level found = fit_level({step(0.02, 0.3, 12, {0.8, Seconds(0)})});
  CHECK(found.sustained == Catch::Approx(0.8));
  CHECK(found.host_per_layer == Seconds(0));
}

TEST_CASE("a host that would have to give time back takes none", "[live]") {
  // The truth has -1 ms per layer. The best level alone: x = sum(b (1 - a)) / sum(b b), where each
  // step, over its measured time, is a + b x.
  const Level truth{0.8, Seconds(-1e-3)};
  const LoneStep first = step(0, 0.3, 12, truth);
  const LoneStep second = step(0, 0.6, 18, truth);
  const double b1 = 0.3 / first.measured.value;
  const double b2 = 0.6 / second.measured.value;
  const Level found = fit_level({first, second});
  CHECK(found.host_per_layer == Seconds(0));
  CHECK(found.sustained == Catch::Approx((b1 * b1 + b2 * b2) / (b1 + b2)));
}

TEST_CASE("the level stays within what a GPU file may say", "[live]") {
  CHECK(fit_level({step(0, 0.3, 12, {5, Seconds(0)})}).sustained == Catch::Approx(1.3));
  CHECK(fit_level({step(0, 0.3, 12, {0.01, Seconds(0)})}).sustained == Catch::Approx(0.1));
}

}  // namespace
}  // namespace foretrain::live
