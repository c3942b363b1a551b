// The bubble of every schedule, played by the engine with communication that costs nothing.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/engine.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/pipeline_program.hpp"

namespace foretrain::testing {
namespace {

constexpr SlotTimes kTimes{Seconds(1e-3), Seconds(2e-3)};

double step_time(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times) {
  PipelineProgram pipeline(schedule, shape, times);
  const FakeCosts costs(static_cast<std::size_t>(shape.stages), BytesPerSecond(1e18));
  return play(pipeline.program(), costs).end.value;
}

/// Idle time over work: (T - W) / W with W = m v (tF + tB).
double bubble(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times) {
  const double work = static_cast<double>(shape.micro_batches) * shape.virtual_stages *
                      (times.forward + times.backward).value;
  return (step_time(schedule, shape, times) - work) / work;
}

}  // namespace

TEST_CASE("the bubble of every schedule is (p - 1) / (v m) with free communication", "[pipeline]") {
  // Narayanan et al., SC'21, section 2.2: p - 1 forwards and backwards of one chunk pass before the
  // last stage starts and after it ends; a step has v m of each.
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const std::int32_t p : {1, 2, 3, 4, 8}) {
      for (const std::int32_t v : {1, 2, 3}) {
        for (const std::int32_t m : {p, 2 * p, 3 * p}) {
          const PipelineShape shape{p, v, m};
          INFO(schedule.name << ": p = " << p << ", v = " << v << ", m = " << m);
          if (!schedule.refuse(shape)) {
            const double expected = static_cast<double>(p - 1) / (v * m);
            CHECK(std::abs(bubble(schedule, shape, kTimes) - expected) < 1e-6);
          }
        }
      }
    }
  }
}

TEST_CASE("with fewer micro-batches than stages the bubble is still (p - 1) / m", "[pipeline]") {
  for (const char* name : {"gpipe", "1f1b"}) {
    for (const std::int32_t m : {1, 2, 3, 5}) {
      const double expected = 7.0 / m;
      CHECK(std::abs(bubble(pipeline_schedule(name), {8, 1, m}, kTimes) - expected) < 1e-6);
    }
  }
}

TEST_CASE("no schedule is faster than the chain of one micro-batch or the work of one stage",
          "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const std::int32_t m : {1, 2, 3, 4, 6, 8}) {
      for (const std::int32_t v : {1, 2}) {
        const PipelineShape shape{4, v, m};
        if (!schedule.refuse(shape)) {
          const double both = (kTimes.forward + kTimes.backward).value;
          const double time = step_time(schedule, shape, kTimes);
          CHECK(time > 4 * v * both * (1 - 1e-9));
          CHECK(time > m * v * both * (1 - 1e-9));
        }
      }
    }
  }
}

}  // namespace foretrain::testing
