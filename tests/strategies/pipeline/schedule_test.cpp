// Laws that every row of the table of schedules keeps, and what is published of each.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/schedule.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "sim/core/error.hpp"
#include "strategies/pipeline/placement.hpp"
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

}  // namespace

TEST_CASE("every micro-batch goes forward once and backward once through every chunk of a stage",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule& schedule, const PipelineShape& shape, std::int32_t,
                     const std::vector<Slot>& slots) {
    std::map<SlotKind, std::set<std::pair<std::int32_t, std::int32_t>>> seen;
    for (const Slot& slot : slots) {
      REQUIRE((slot.chunk >= 0 && slot.chunk < shape.virtual_stages));
      const MicroBatches through = micro_batches_of(schedule.placement, shape, slot.chunk);
      REQUIRE(
          (slot.micro_batch >= through.first && slot.micro_batch < through.first + through.count));
      REQUIRE(seen[slot.kind].emplace(slot.micro_batch, slot.chunk).second);
    }
    const std::size_t all = static_cast<std::size_t>(shape.micro_batches) *
                            static_cast<std::size_t>(shape.virtual_stages) /
                            static_cast<std::size_t>(copies(schedule.placement));
    REQUIRE(seen[SlotKind::forward].size() == all);
    // Whole backwards, or both halves.
    REQUIRE(seen[SlotKind::backward].size() + seen[SlotKind::input_gradient].size() == all);
    REQUIRE(seen[SlotKind::weight_gradient] == seen[SlotKind::input_gradient]);
    for (const auto& pass : seen[SlotKind::backward]) {
      REQUIRE_FALSE(seen[SlotKind::input_gradient].contains(pass));
    }
  });
}

TEST_CASE("a chunk's backward comes after its forward, and chunks follow one another",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule& schedule, const PipelineShape& shape,
                     std::int32_t stage, const std::vector<Slot>& slots) {
    // By micro-batch and place: when its forward and its backward are.
    std::map<std::int32_t, std::map<std::int32_t, std::size_t>> forwards;
    std::map<std::int32_t, std::map<std::int32_t, std::size_t>> backwards;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const std::int32_t at = place_of(schedule.placement, shape, stage, slots[i].chunk);
      if (slots[i].kind == SlotKind::forward) {
        forwards[slots[i].micro_batch][at] = i;
      } else if (slots[i].kind != SlotKind::weight_gradient) {
        backwards[slots[i].micro_batch][at] = i;
      }
    }
    for (const auto& [micro_batch, times] : forwards) {
      const auto& back = backwards.at(micro_batch);
      auto before = times.begin();
      for (auto each = times.begin(); each != times.end(); before = each++) {
        REQUIRE(each->second < back.at(each->first));
        if (before != each) {
          REQUIRE(before->second < each->second);
          REQUIRE(back.at(each->first) < back.at(before->first));
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
    std::map<std::int32_t, std::int32_t> of_step_before;  // by chunk
    for (std::int32_t i = 0; i < first; ++i) {
      ++of_step_before[slots[static_cast<std::size_t>(i)].chunk];
    }
    std::map<std::int32_t, std::set<std::int32_t>> started;  // input gradients, by chunk
    std::map<std::int32_t, std::int32_t> done;
    std::int32_t index = 0;
    for (const Slot& slot : slots) {
      if (slot.kind == SlotKind::input_gradient) {
        started[slot.chunk].insert(slot.micro_batch);
      }
      if (slot.kind == SlotKind::weight_gradient && index >= first) {
        REQUIRE(started[slot.chunk].contains(slot.micro_batch));
        const bool is_in_order = done[slot.chunk] <= slot.micro_batch;
        REQUIRE(is_in_order);
        done[slot.chunk] = slot.micro_batch;
        REQUIRE(slot.micro_batch < shape.micro_batches - of_step_before[slot.chunk]);
      }
      ++index;
    }
  });
}

TEST_CASE("slots that run as a pair are a forward and a whole backward of other micro-batches",
          "[pipeline]") {
  for_every_stage([](const PipelineSchedule& schedule, const PipelineShape&, std::int32_t,
                     const std::vector<Slot>& slots) {
    std::size_t pairs = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].is_paired) {
        ++pairs;
        REQUIRE(i + 1 < slots.size());
        REQUIRE(slots[i].kind == SlotKind::forward);
        REQUIRE(slots[i + 1].kind == SlotKind::backward);
        REQUIRE_FALSE(slots[i + 1].is_paired);
        REQUIRE((slots[i].micro_batch != slots[i + 1].micro_batch ||
                 slots[i].chunk != slots[i + 1].chunk));
      }
    }
    REQUIRE((pairs > 0) == schedule.name.starts_with("dualpipe"));
  });
}

TEST_CASE("what a stage sends next is what its neighbour takes next", "[pipeline]") {
  // Messages of one direction between two stages meet in order: their micro-batches and places must
  // be the same on both sides.
  using Message = std::pair<std::int32_t, std::int32_t>;           // micro-batch, place sent from
  using Line = std::tuple<std::int32_t, std::int32_t, bool, int>;  // from, to, forward, lane
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const PipelineShape& shape : shapes()) {
      std::map<Line, std::vector<Message>> sent;
      std::map<Line, std::vector<Message>> taken;
      const std::int32_t last = num_places(schedule.placement, shape) - 1;
      for (std::int32_t stage = 0; !schedule.refuse(shape) && stage < shape.stages; ++stage) {
        for (const Slot& slot : schedule.order(shape, stage)) {
          const bool is_up = goes_up(schedule.placement, slot.chunk);
          const bool is_forward = slot.kind == SlotKind::forward;
          const std::int32_t at = place_of(schedule.placement, shape, stage, slot.chunk);
          const auto other = [&](bool is_after) {
            return (stage + (is_after == is_up ? 1 : shape.stages - 1)) % shape.stages;
          };
          if (slot.kind == SlotKind::weight_gradient) {
            continue;
          }
          if (at < last && !hands_to_itself(schedule.placement, shape, stage, slot.chunk)) {
            is_forward
                ? sent[{stage, other(true), true, is_up}].push_back({slot.micro_batch, at})
                : taken[{other(true), stage, false, is_up}].push_back({slot.micro_batch, at + 1});
          }
          if (at > 0 && !gets_from_itself(schedule.placement, shape, stage, slot.chunk)) {
            is_forward
                ? taken[{other(false), stage, true, is_up}].push_back({slot.micro_batch, at - 1})
                : sent[{stage, other(false), false, is_up}].push_back({slot.micro_batch, at});
          }
        }
      }
      INFO(schedule.name << ": p = " << shape.stages << ", v = " << shape.virtual_stages
                         << ", m = " << shape.micro_batches);
      CHECK(sent == taken);
    }
  }
}

TEST_CASE("every place of the model is on as many stages as there are copies", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    for (const PipelineShape& shape : shapes()) {
      std::vector<int> holders(static_cast<std::size_t>(num_places(schedule.placement, shape)), 0);
      for (std::int32_t s = 0; !schedule.refuse(shape) && s < shape.stages; ++s) {
        for (std::int32_t c = 0; c < shape.virtual_stages; ++c) {
          ++holders.at(static_cast<std::size_t>(place_of(schedule.placement, shape, s, c)));
        }
      }
      const bool is_even = std::all_of(holders.begin(), holders.end(), [&](int each) {
        return schedule.refuse(shape) || each == copies(schedule.placement);
      });
      CHECK(is_even);
    }
  }
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

TEST_CASE("interleaved zero-bubble keeps p v chunks in flight on every stage", "[pipeline]") {
  // As many as the first stage of 1F1B: a chunk is a v-th of a stage.
  for (const PipelineShape& shape : shapes()) {
    for (std::int32_t s = 0; !refuse_uneven_interleaving(shape) && s < shape.stages; ++s) {
      CHECK(most_in_flight(interleaved_zb(shape, s)) == shape.stages * shape.virtual_stages);
    }
  }
}

TEST_CASE("breadth-first keeps all micro-batches of all chunks in flight", "[pipeline]") {
  for (const PipelineShape& shape : shapes()) {
    CHECK(most_in_flight(breadth_first(shape, 0)) == shape.micro_batches * shape.virtual_stages);
  }
}

TEST_CASE("V schedules keep all, half or a third of the 2 p chunks of 1F1B's first stage",
          "[pipeline]") {
  // Qi et al. 2024, section 6, and 2024b, table 1, up to a constant for the turns.
  for (const std::int32_t p : {2, 3, 4, 5, 6, 7, 8, 12, 16}) {
    const PipelineShape shape{p, 2, 4 * p};
    for (std::int32_t s = 0; s < p; ++s) {
      INFO("p = " << p << ", stage " << s);
      CHECK(most_in_flight(zb_v(shape, s)) == 2 * p);
      CHECK(most_in_flight(v_half(shape, s)) <= p + 3);
      CHECK(3 * most_in_flight(v_min(shape, s)) <= 2 * p + 8);
    }
  }
}

TEST_CASE("DualPipe keeps p + 1 micro-batches in flight over both chunks, folded 2 p + 1",
          "[pipeline]") {
  // The table of DualPipe's open repository; a folded pipeline of p stages has 2 p places.
  for (const std::int32_t p : {2, 4, 6, 8, 16}) {
    for (std::int32_t s = 0; s < p; ++s) {
      CHECK(most_in_flight(dual_pipe({p, 2, 4 * p}, s)) == p + 1);
      CHECK(most_in_flight(dual_pipe_v({p, 2, 3 * p}, s)) == 2 * p + 1);
    }
  }
}

TEST_CASE("a group of all micro-batches makes interleaving breadth-first", "[pipeline]") {
  // Llama Team 2024, section 3.3.2: N between p (depth-first) and m. Forwards then come in the
  // breadth-first order, and the last stage starts backwards after (v - 1) m + 1 of them.
  const PipelineShape shape{4, 3, 10, 10};
  std::vector<Slot> forwards;
  std::vector<Slot> breadth;
  const std::vector<Slot> slots = interleaved_one_f_one_b(shape, 3);
  const auto is_forward = [](const Slot& slot) { return slot.kind == SlotKind::forward; };
  std::copy_if(slots.begin(), slots.end(), std::back_inserter(forwards), is_forward);
  const std::vector<Slot> all = breadth_first(shape, 3);
  std::copy_if(all.begin(), all.end(), std::back_inserter(breadth), is_forward);
  CHECK(forwards == breadth);
  CHECK(slots[21] == Slot{SlotKind::backward, 0, 2});
  // More in flight than depth-first, which does not take 10 micro-batches at all.
  CHECK(most_in_flight(interleaved_one_f_one_b({4, 3, 20, 10}, 0)) == 2 * 10 + 2 * 3 + 1);
  CHECK(pipeline_schedule("interleaved-1f1b").refuse({4, 3, 10}));
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
  CHECK(pipeline_schedule("interleaved-1f1b").refuse({4, 2, 6, 3}) ==
        "micro_batch_group = 3 is less than pipeline = 4: a stage would wait for what it has just "
        "sent");
  CHECK(pipeline_schedule("interleaved-zb").refuse({4, 2, 12, 5}) ==
        "with micro_batch_group = 5 the last 2 of the 12 micro-batches per step are a group of "
        "less than pipeline = 4");
  CHECK(pipeline_schedule("zb-v").refuse({4, 3, 8}) ==
        "this schedule gives each stage two chunks, but virtual_stages = 3: say 2 or nothing");
  CHECK(pipeline_schedule("v-min").refuse({1, 2, 8}) ==
        "this schedule goes along the stages and back, but pipeline = 1");
  CHECK(pipeline_schedule("dualpipe").refuse({3, 2, 8}) ==
        "DualPipe starts micro-batches at both ends of an even number of stages, but pipeline = 3");
  const std::string both_ends =
      "DualPipe needs an even number of micro-batches, at least 2 x pipeline = 8, but there are ";
  CHECK(pipeline_schedule("dualpipe").refuse({4, 2, 9}) == both_ends + "9 per step");
  CHECK(pipeline_schedule("dualpipe").refuse({4, 2, 6}) == both_ends + "6 per step");
  CHECK(pipeline_schedule("dualpipe-v").refuse({4, 2, 7}) ==
        "DualPipeV needs at least 2 x pipeline = 8 micro-batches, but there are 7 per step");
  CHECK_FALSE(pipeline_schedule("dualpipe-v").refuse({4, 2, 9}));
  CHECK_FALSE(pipeline_schedule("interleaved-1f1b").refuse({4, 2, 14, 5}));
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
