// The bubble of every schedule, played by the engine with communication that costs nothing.
// SPDX-License-Identifier: Apache-2.0
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

/// Passes of a kind through all chunks of a stage.
double passes(const PipelineSchedule& schedule, const PipelineShape& shape) {
  return static_cast<double>(shape.micro_batches) * shape.virtual_stages /
         copies(schedule.placement);
}

/// Time that a step takes beyond its work, m v (F + B + W), half of it where there are two copies.
double bubble(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times) {
  return step_time(schedule, shape, times) - passes(schedule, shape) * times.all().value;
}

/// Bubble over that of 1F1B with as many stages, (p - 1)(F + B + W) of two chunks.
double share_of_one_f_one_b(const char* schedule, std::int32_t stages, std::int32_t micro_batches) {
  const SlotTimes equal{Seconds(1), Seconds(1), Seconds(1)};
  return bubble(pipeline_schedule(schedule), {stages, 2, micro_batches}, equal) /
         (6.0 * (stages - 1));
}

}  // namespace

TEST_CASE("the bubble of every schedule is its closed form with free communication", "[pipeline]") {
  const SlotTimes equal{Seconds(1e-3), Seconds(1e-3), Seconds(1e-3)};
  const SlotTimes recomputed{Seconds(1e-3), Seconds(2.1e-3), Seconds(0.9e-3)};
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const SlotTimes& times : {kTimes, equal, recomputed}) {
      for (const std::int32_t p : {1, 2, 3, 4, 8}) {
        for (const std::int32_t v : {1, 2, 3}) {
          for (const std::int32_t m : {p, 2 * p, 3 * p}) {
            const PipelineShape shape{p, v, m};
            INFO(schedule.name << ": p = " << p << ", v = " << v << ", m = " << m);
            if (schedule.bubble != nullptr && !schedule.refuse(shape) &&
                m >= schedule.bubble->least_micro_batches(p)) {
              const PassTimes passes{times.forward, times.input_gradient, times.weight_gradient};
              const double expected = schedule.bubble->of(p, passes).value;
              const double found = bubble(schedule, shape, times);
              CHECK(found < expected + 1e-9);
              if (times.input_gradient == equal.input_gradient || !schedule.bubble->is_bound) {
                CHECK(found > expected - 1e-9);
              }
            }
          }
        }
      }
    }
  }
}

TEST_CASE("every schedule has a closed form or a bound of its own", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    INFO(schedule.name);
    const bool is_bounded = schedule.name == "v-half" || schedule.name == "v-min";  // see below
    CHECK((schedule.bubble != nullptr) != is_bounded);
  }
}

TEST_CASE("V-Half has half, V-Min two thirds of the bubble of 1F1B, and a constant more",
          "[pipeline]") {
  // Qi et al. 2024b, table 1; without shifting weight gradients at both ends V-Half has 5/9.
  for (const std::int32_t p : {2, 3, 4, 5, 6, 7, 8, 12, 16}) {
    for (const std::int32_t m : {2 * p, 3 * p, 4 * p + 1}) {
      INFO("p = " << p << ", m = " << m);
      const double one_pass = 1 / (6.0 * (p - 1));
      CHECK(share_of_one_f_one_b("v-half", p, m) < 5.0 / 9 + one_pass + 1e-9);
      CHECK(share_of_one_f_one_b("v-min", p, m) < 2.0 / 3 + one_pass + 1e-9);
    }
  }
}

TEST_CASE("groups of more micro-batches than stages leave the bubble of interleaving as it is",
          "[pipeline]") {
  for (const char* name : {"interleaved-1f1b", "interleaved-zb"}) {
    const PipelineSchedule& schedule = pipeline_schedule(name);
    for (const std::int32_t p : {2, 3, 4}) {
      for (const std::int32_t v : {1, 2, 3}) {
        for (std::int32_t m = p; m <= 4 * p; ++m) {
          for (std::int32_t group = p; group <= 3 * p; ++group) {
            const PipelineShape shape{p, v, m, group};
            INFO(name << ": p = " << p << ", v = " << v << ", m = " << m << ", N = " << group);
            if (!schedule.refuse(shape)) {
              const PassTimes passes{kTimes.forward, kTimes.input_gradient, kTimes.weight_gradient};
              const double expected = schedule.bubble->of(p, passes).value;
              CHECK(std::abs(bubble(schedule, shape, kTimes) - expected) < 1e-9);
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
    for (const std::int32_t m : {1, 2, 3, 4, 6, 8, 10}) {
      for (const std::int32_t v : {1, 2}) {
        const PipelineShape shape{4, v, m};
        if (!schedule.refuse(shape)) {
          const double time = step_time(schedule, shape, kTimes);
          CHECK(time > passes(schedule, shape) * kTimes.all().value * (1 - 1e-9));
          // W of all stages but the first may still be to do when the chain is through.
          const double chain = num_places(schedule.placement, shape) *
                               (kTimes.forward + kTimes.input_gradient).value;
          CHECK(time > chain * (1 - 1e-9));
        }
      }
    }
  }
}

}  // namespace foretrain::testing
