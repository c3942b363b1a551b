// Laws that every row of the table of schedules keeps, and what is published of each.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pipeline_program.hpp"

namespace foretrain::testing {
namespace {

std::vector<PipelineShape> shapes() {
  std::vector<PipelineShape> all;
  for (std::int32_t stages = 1; stages <= 5; ++stages) {
    for (std::int32_t virtual_stages = 1; virtual_stages <= 3; ++virtual_stages) {
      for (std::int32_t micro_batches = 1; micro_batches <= 12; ++micro_batches) {
        all.push_back({stages, virtual_stages, micro_batches});
      }
    }
  }
  return all;
}

/// Calls `check(schedule, shape, stage, slots)` for every schedule, shape it accepts, and stage.
template <class Check>
void for_every_stage(Check check) {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const PipelineShape& shape : shapes()) {
      for (std::int32_t stage = 0; !schedule.refuse(shape) && stage < shape.stages; ++stage) {
        INFO(schedule.name << ": p = " << shape.stages << ", v = " << shape.virtual_stages
                           << ", m = " << shape.micro_batches << ", stage " << stage);
        check(schedule, shape, stage, schedule.order(shape, stage));
      }
    }
  }
}

/// Forwards whose backward has not come yet, at most.
std::int32_t most_in_flight(const std::vector<Slot>& slots) {
  std::int32_t now = 0;
  std::int32_t most = 0;
  for (const Slot& slot : slots) {
    now += slot.is_forward ? 1 : -1;
    most = std::max(most, now);
  }
  return most;
}

std::size_t place(const std::vector<Slot>& slots, const Slot& slot) {
  return static_cast<std::size_t>(std::find(slots.begin(), slots.end(), slot) - slots.begin());
}

}  // namespace

TEST_CASE("every micro-batch goes forward once and backward once through every chunk of a stage",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule&, const PipelineShape& shape, std::int32_t,
                     const std::vector<Slot>& slots) {
    std::set<std::tuple<bool, std::int32_t, std::int32_t>> seen;
    for (const Slot& slot : slots) {
      REQUIRE((slot.micro_batch >= 0 && slot.micro_batch < shape.micro_batches));
      REQUIRE((slot.chunk >= 0 && slot.chunk < shape.virtual_stages));
      seen.emplace(slot.is_forward, slot.micro_batch, slot.chunk);
    }
    const std::size_t all = std::size_t{2} * static_cast<std::size_t>(shape.micro_batches) *
                            static_cast<std::size_t>(shape.virtual_stages);
    REQUIRE(slots.size() == all);
    REQUIRE(seen.size() == all);
  });
}

TEST_CASE("a chunk's backward comes after its forward, and chunks follow one another",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule&, const PipelineShape& shape, std::int32_t,
                     const std::vector<Slot>& slots) {
    for (std::int32_t m = 0; m < shape.micro_batches; ++m) {
      for (std::int32_t c = 0; c < shape.virtual_stages; ++c) {
        REQUIRE(place(slots, {true, m, c}) < place(slots, {false, m, c}));
        if (c > 0) {
          REQUIRE(place(slots, {true, m, c - 1}) < place(slots, {true, m, c}));
          REQUIRE(place(slots, {false, m, c}) < place(slots, {false, m, c - 1}));
        }
      }
    }
  });
}

TEST_CASE("no schedule hangs, and every activation meets its receiver", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const PipelineShape& shape : shapes()) {
      if (!schedule.refuse(shape)) {
        INFO(schedule.name << ": p = " << shape.stages << ", v = " << shape.virtual_stages
                           << ", m = " << shape.micro_batches);
        PipelineProgram pipeline(schedule, shape, {Seconds(1), Seconds(2)});
        CHECK_NOTHROW(verify(pipeline.program()));
      }
    }
  }
}

TEST_CASE("GPipe keeps all micro-batches in flight", "[pipeline]") {
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t stage = 0; !refuse_virtual_stages(shape) && stage < shape.stages; ++stage) {
      CHECK(most_in_flight(gpipe(shape, stage)) == shape.micro_batches);
    }
  }
}

TEST_CASE("1F1B keeps at most p - stage micro-batches in flight", "[pipeline]") {
  // Narayanan et al., SC'21, section 2.2.1: p on the first stage, 1 on the last.
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t stage = 0; !refuse_virtual_stages(shape) && stage < shape.stages; ++stage) {
      CHECK(most_in_flight(one_f_one_b(shape, stage)) ==
            std::min(shape.micro_batches, shape.stages - stage));
    }
  }
}

TEST_CASE("interleaving keeps p v + p - 1 chunks in flight on the first stage", "[pipeline]") {
  // Korthikanti et al. 2022, section 4.2.3: L (1 + (p - 1) / (p v)) layers' activations; a chunk is
  // L / (p v) layers. Stage s starts 2 s chunks later, and no more are in flight than there are.
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t s = 0; !refuse_uneven_interleaving(shape) && s < shape.stages; ++s) {
      const std::int32_t p = shape.stages;
      const std::int32_t v = shape.virtual_stages;
      CHECK(most_in_flight(interleaved_one_f_one_b(shape, s)) ==
            std::min(shape.micro_batches * v, p * v + p - 1 - 2 * s));
    }
  }
}

TEST_CASE("interleaving takes micro-batches in groups of p, one chunk after the other",
          "[pipeline]") {
  // p = 2, v = 2, m = 4; stage 1 starts (v - 1) p = 2 chunks ahead.
  std::vector<std::pair<std::int32_t, std::int32_t>> forwards;
  for (const Slot& slot : interleaved_one_f_one_b({2, 2, 4}, 1)) {
    if (slot.is_forward) {
      forwards.emplace_back(slot.micro_batch, slot.chunk);
    }
  }
  CHECK(forwards == std::vector<std::pair<std::int32_t, std::int32_t>>{
                        {0, 0}, {1, 0}, {0, 1}, {1, 1}, {2, 0}, {3, 0}, {2, 1}, {3, 1}});
}

TEST_CASE("schedules refuse the shapes that they cannot run, and say which keys are at odds",
          "[pipeline]") {
  const std::string together =
      "this schedule keeps a stage's layers together, but virtual_stages = 2: use schedule = "
      "\"interleaved-1f1b\"";
  CHECK(pipeline_schedule("1f1b").refuse({4, 2, 8}) == together);
  CHECK(pipeline_schedule("gpipe").refuse({4, 2, 8}) == together);
  CHECK(pipeline_schedule("interleaved-1f1b").refuse({4, 2, 6}) ==
        "interleaving takes micro-batches in groups of pipeline = 4, but there are 6 micro-batches "
        "per step");
  CHECK_FALSE(pipeline_schedule("1f1b").refuse({4, 1, 3}));
  CHECK_FALSE(pipeline_schedule("interleaved-1f1b").refuse({4, 2, 8}));
  CHECK_THROWS_AS(pipeline_schedule("2f2b"), InternalError);
}

TEST_CASE("schedules have names of their own and a sentence", "[pipeline]") {
  std::set<std::string_view> names;
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    CHECK(names.insert(schedule.name).second);
    CHECK_FALSE(schedule.sentence.empty());
  }
}

}  // namespace foretrain::testing
