// Does the memory curve follow allocations in time?
// SPDX-License-Identifier: Apache-2.0
#include "sim/report/memory_curve.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/program_maker.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

Bytes held(const MemoryPoint& point, MemoryClass memory) {
  return point.held[static_cast<std::size_t>(memory)];
}

}  // namespace

TEST_CASE("what is resident is there from the start, by class", "[report]") {
  ProgramMaker maker(1);
  maker.program().bodies[0].resident = {{MemoryClass::parameters, 3_GB},
                                        {MemoryClass::optimizer, 12_GB}};
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  const auto curve = memory_curve(maker.program(), timeline, Rank(0));
  REQUIRE(curve.size() == 1);
  CHECK(held(curve.front(), MemoryClass::parameters) == 3_GB);
  CHECK(curve.front().total() == 15_GB);
}

TEST_CASE("the peak is where most is held, with its classes and its time", "[report]") {
  ProgramMaker maker(1);
  maker.program().bodies[0].resident = {{MemoryClass::parameters, 1_GB}};
  maker.op(0, Alloc{MemoryClass::activations, 2_GB}).op(0, Delay{1_ms});
  maker.op(0, Alloc{MemoryClass::buffers, 4_GB}).op(0, Delay{1_ms});
  maker.op(0, Free{MemoryClass::buffers, 4_GB});
  maker.op(0, Free{MemoryClass::activations, 2_GB}).op(0, Delay{1_ms});
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  const auto curve = memory_curve(maker.program(), timeline, Rank(0));
  REQUIRE(curve.size() == 5);  // the start and four changes
  const MemoryPoint peak = memory_peak(curve);
  CHECK(peak.total() == 7_GB);
  CHECK(held(peak, MemoryClass::buffers) == 4_GB);
  CHECK_THAT(peak.time.value, Catch::Matchers::WithinRel(1e-3, 1e-9));
  CHECK(curve.back().total() == 1_GB);
}

TEST_CASE("changes of several streams are put in the order of time", "[report]") {
  ProgramMaker maker(1);
  maker.op(0, Delay{2_ms}).op(0, Alloc{MemoryClass::activations, 1_GB});
  maker.op(0, Free{MemoryClass::activations, 1_GB});
  maker.op(0, Delay{1_ms}, Phase::forward, 1);
  maker.op(0, Alloc{MemoryClass::buffers, 2_GB}, Phase::forward, 1);
  maker.op(0, Free{MemoryClass::buffers, 2_GB}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  const auto curve = memory_curve(maker.program(), timeline, Rank(0));
  REQUIRE(curve.size() == 5);
  CHECK(held(curve[1], MemoryClass::buffers) == 2_GB);
  CHECK(held(curve[3], MemoryClass::activations) == 1_GB);
  CHECK(memory_peak(curve).total() == 2_GB);
}

TEST_CASE("slack is held all along: a share of the most that comes and goes at once", "[report]") {
  ProgramMaker maker(1);
  maker.program().bodies[0].resident = {{MemoryClass::parameters, 10_GB},
                                        {MemoryClass::context, 3_GB}};
  maker.program().bodies[0].allocator_slack = 0.5;
  maker.op(0, Alloc{MemoryClass::activations, 2_GB}).op(0, Alloc{MemoryClass::logits, 1_GB});
  maker.op(0, Free{MemoryClass::logits, 1_GB}).op(0, Alloc{MemoryClass::buffers, 3_GB});
  maker.op(0, Free{MemoryClass::buffers, 3_GB}).op(0, Free{MemoryClass::activations, 2_GB});
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  for (const MemoryPoint& point : memory_curve(maker.program(), timeline, Rank(0))) {
    CHECK(held(point, MemoryClass::slack) == 2.5_GB);
  }
}

}  // namespace foretrain::testing
