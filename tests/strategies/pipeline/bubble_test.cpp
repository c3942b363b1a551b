// The bubble of every schedule, played by the engine with communication that costs nothing.
// SPDX-License-Identifier: Apache-2.0
#include <map>

#include "sim/engine/engine.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/pipeline_program.hpp"

namespace foretrain::testing {
namespace {

constexpr SlotTimes kTimes{Seconds(1e-3), Seconds(1.2e-3), Seconds(0.8e-3)};

double step_time(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times) {
  PipelineProgram pipeline(schedule, shape, times);
  const FakeCosts costs(static_cast<std::size_t>(shape.stages), BytesPerSecond(1e18));
  return play(pipeline.program(), costs).end.value;
}

/// Time that a step takes beyond its work, m v (F + B + W).
double bubble(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times) {
  const double work =
      static_cast<double>(shape.micro_batches) * shape.virtual_stages * times.all().value;
  return step_time(schedule, shape, times) - work;
}

/// The closed form of a schedule's bubble per stage before the last, and from how many
/// micro-batches on it holds.
struct ClosedForm {
  Seconds (*bubble)(const SlotTimes& times);
  std::int32_t (*least_micro_batches)(std::int32_t stages);
};

// Narayanan et al., SC'21, section 2.2: p - 1 forwards and backwards of one chunk pass before the
// last stage starts and after it ends. Qi et al. 2024, table 2: with split backwards a stage does
// weight gradients meanwhile.
const std::map<std::string_view, ClosedForm> kClosedForms = {
    {"1f1b", {[](const SlotTimes& t) { return t.all(); }, [](std::int32_t) { return 1; }}},
    {"gpipe", {[](const SlotTimes& t) { return t.all(); }, [](std::int32_t) { return 1; }}},
    {"interleaved-1f1b",
     {[](const SlotTimes& t) { return t.all(); }, [](std::int32_t) { return 1; }}},
    {"zb-h1",
     {[](const SlotTimes& t) { return t.forward + t.input_gradient - t.weight_gradient; },
      [](std::int32_t p) { return p; }}},
    {"zb-2p",
     {[](const SlotTimes& t) { return t.forward + t.input_gradient - 2.0 * t.weight_gradient; },
      [](std::int32_t p) { return 2 * p - 1; }}},
};

}  // namespace

TEST_CASE("the bubble of every schedule is its closed form with free communication", "[pipeline]") {
  const SlotTimes equal{Seconds(1e-3), Seconds(1e-3), Seconds(1e-3)};
  const SlotTimes recomputed{Seconds(1e-3), Seconds(2.1e-3), Seconds(0.9e-3)};
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    const ClosedForm& form = kClosedForms.at(schedule.name);
    for (const SlotTimes& times : {kTimes, equal, recomputed}) {
      for (const std::int32_t p : {1, 2, 3, 4, 8}) {
        for (const std::int32_t v : {1, 2, 3}) {
          for (const std::int32_t m : {p, 2 * p, 3 * p}) {
            const PipelineShape shape{p, v, m};
            INFO(schedule.name << ": p = " << p << ", v = " << v << ", m = " << m);
            if (!schedule.refuse(shape) && m >= form.least_micro_batches(p)) {
              const double expected = (p - 1) * form.bubble(times).value;
              CHECK(std::abs(bubble(schedule, shape, times) - expected) < 1e-9);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("with fewer micro-batches than stages the bubble is still p - 1 of all passes",
          "[pipeline]") {
  for (const char* name : {"gpipe", "1f1b"}) {
    for (const std::int32_t m : {1, 2, 3, 5}) {
      const double expected = 7 * kTimes.all().value;
      CHECK(std::abs(bubble(pipeline_schedule(name), {8, 1, m}, kTimes) - expected) < 1e-9);
    }
  }
}

TEST_CASE("splitting backwards never makes a step slower, nor does twice the memory",
          "[pipeline]") {
  for (const std::int32_t p : {1, 2, 3, 5, 8}) {
    for (std::int32_t m = 1; m <= 16; ++m) {
      INFO("p = " << p << ", m = " << m);
      const double whole = bubble(pipeline_schedule("1f1b"), {p, 1, m}, kTimes);
      const double split = bubble(pipeline_schedule("zb-h1"), {p, 1, m}, kTimes);
      const double twice = bubble(pipeline_schedule("zb-2p"), {p, 1, m}, kTimes);
      CHECK(split < whole + 1e-9);
      CHECK(twice < split + 1e-9);
    }
  }
}

TEST_CASE(
    "no schedule is faster than the work of one stage, nor, when all stages end together, than "
    "the chain of one micro-batch",
    "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const std::int32_t m : {1, 2, 3, 4, 6, 8}) {
      for (const std::int32_t v : {1, 2}) {
        const PipelineShape shape{4, v, m};
        if (!schedule.refuse(shape)) {
          const double time = step_time(schedule, shape, kTimes);
          CHECK(time > m * v * kTimes.all().value * (1 - 1e-9));
          // W of all stages but the first may still be to do when the chain is through.
          const double chain = 4 * v * (kTimes.forward + kTimes.input_gradient).value;
          CHECK(time > chain * (1 - 1e-9));
        }
      }
    }
  }
}

}  // namespace foretrain::testing
