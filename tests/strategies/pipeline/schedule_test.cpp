// Laws that every row of the table of schedules keeps, and what is published of each.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/pipeline_program.hpp"

namespace foretrain::testing {
namespace {

std::vector<PipelineShape> shapes() {
  std::vector<PipelineShape> all;
  for (std::int32_t stages = 1; stages <= 8; ++stages) {
    for (std::int32_t virtual_stages = 1; virtual_stages <= 3; ++virtual_stages) {
      for (std::int32_t micro_batches = 1; micro_batches <= 16; ++micro_batches) {
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

/// Weight gradients that lead the slots: of the step before, when stages end one by one.
std::int32_t leading(const std::vector<Slot>& slots) {
  const auto other = std::find_if(slots.begin(), slots.end(), [](const Slot& slot) {
    return slot.kind != SlotKind::weight_gradient;
  });
  return static_cast<std::int32_t>(other - slots.begin());
}

/// Forwards whose gradients are not all computed yet, at most.
std::int32_t most_in_flight(const std::vector<Slot>& slots) {
  std::int32_t now = leading(slots);
  std::int32_t most = now;
  for (const Slot& slot : slots) {
    switch (slot.kind) {
      case SlotKind::forward:
        ++now;
        break;
      case SlotKind::backward:
      case SlotKind::weight_gradient:
        --now;
        break;
      case SlotKind::input_gradient:
        break;
    }
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
    std::map<SlotKind, std::set<std::pair<std::int32_t, std::int32_t>>> seen;
    for (const Slot& slot : slots) {
      REQUIRE((slot.micro_batch >= 0 && slot.micro_batch < shape.micro_batches));
      REQUIRE((slot.chunk >= 0 && slot.chunk < shape.virtual_stages));
      REQUIRE(seen[slot.kind].emplace(slot.micro_batch, slot.chunk).second);
    }
    const std::size_t all = static_cast<std::size_t>(shape.micro_batches) *
                            static_cast<std::size_t>(shape.virtual_stages);
    // Whole backwards, or both halves of all of them.
    const bool is_split = seen.contains(SlotKind::input_gradient);
    REQUIRE(seen[SlotKind::forward].size() == all);
    REQUIRE(seen[SlotKind::backward].size() == (is_split ? 0 : all));
    REQUIRE(seen[SlotKind::input_gradient].size() == (is_split ? all : 0));
    REQUIRE(seen[SlotKind::weight_gradient].size() == (is_split ? all : 0));
  });
}

TEST_CASE("a chunk's backward comes after its forward, and chunks follow one another",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule&, const PipelineShape& shape, std::int32_t,
                     const std::vector<Slot>& slots) {
    const bool is_split = slots.size() == 3 * static_cast<std::size_t>(shape.micro_batches);
    const SlotKind backward = is_split ? SlotKind::input_gradient : SlotKind::backward;
    for (std::int32_t m = 0; m < shape.micro_batches; ++m) {
      for (std::int32_t c = 0; c < shape.virtual_stages; ++c) {
        REQUIRE(place(slots, {SlotKind::forward, m, c}) < place(slots, {backward, m, c}));
        if (c > 0) {
          REQUIRE(place(slots, {SlotKind::forward, m, c - 1}) <
                  place(slots, {SlotKind::forward, m, c}));
          REQUIRE(place(slots, {backward, m, c}) < place(slots, {backward, m, c - 1}));
        }
      }
    }
  });
}

TEST_CASE("weight gradients come after the input gradients of their micro-batch, in order",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule& schedule, const PipelineShape& shape, std::int32_t,
                     const std::vector<Slot>& slots) {
    // Those that lead belong to the last micro-batches of the step before.
    const std::int32_t first = leading(slots);
    REQUIRE((first == 0 || schedule.end == StepEnd::stage_by_stage));
    std::int32_t next = shape.micro_batches - first;
    for (const Slot& slot : slots) {
      if (slot.kind == SlotKind::weight_gradient) {
        REQUIRE(slot.micro_batch == next % shape.micro_batches);
        ++next;
        if (slot.micro_batch < shape.micro_batches - first) {
          REQUIRE(place(slots, {SlotKind::input_gradient, slot.micro_batch, 0}) <
                  place(slots, slot));
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
        PipelineProgram pipeline(schedule, shape, {Seconds(1), Seconds(1), Seconds(1)});
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

TEST_CASE("ZB-H1 keeps p micro-batches in flight on every stage, as the first one of 1F1B",
          "[pipeline]") {
  // Qi et al. 2024, table 2; no more are in flight than there are.
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t stage = 0; !refuse_virtual_stages(shape) && stage < shape.stages; ++stage) {
      CHECK(most_in_flight(zb_h1(shape, stage)) == std::min(shape.micro_batches, shape.stages));
    }
  }
}

TEST_CASE("ZB-H2 keeps 2 p - 1 micro-batches in flight on every stage", "[pipeline]") {
  // Qi et al. 2024, table 2. Weight gradients of the step before are in flight until it is updated.
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t stage = 0; !refuse_virtual_stages(shape) && stage < shape.stages; ++stage) {
      CHECK(most_in_flight(zb_2p(shape, stage)) ==
            std::min(shape.micro_batches, 2 * shape.stages - 1));
    }
  }
}

TEST_CASE("stage s of ZB-H2 ends a step s slots after the first stage", "[pipeline]") {
  for (const std::int32_t stage : {0, 1, 2, 3}) {
    CHECK(leading(zb_2p({4, 1, 8}, stage)) == stage);
    CHECK(leading(zb_h1({4, 1, 8}, stage)) == 0);
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
    if (slot.kind == SlotKind::forward) {
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
  CHECK(pipeline_schedule("zb-h1").refuse({4, 2, 8}) == together);
  CHECK(pipeline_schedule("zb-2p").refuse({4, 2, 8}) == together);
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
