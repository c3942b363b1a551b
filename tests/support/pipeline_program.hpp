// Makes the program of a pipeline schedule alone: equal chunks, and messages that cost nothing. The
// schedule's bubble is then all that a step takes beyond its work.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/pipeline/placement.hpp"
#include "strategies/pipeline/schedule.hpp"
#include "tests/support/program_maker.hpp"

namespace foretrain::testing {

/// What every chunk takes, on every stage: F, B and W of Qi et al. 2024.
struct SlotTimes {
  Seconds forward;
  Seconds input_gradient;
  Seconds weight_gradient;

  [[nodiscard]] Seconds backward() const { return input_gradient + weight_gradient; }
  [[nodiscard]] Seconds all() const { return forward + backward(); }
  [[nodiscard]] Seconds of(SlotKind kind) const {
    switch (kind) {
      case SlotKind::forward:
        return forward;
      case SlotKind::backward:
        return backward();
      case SlotKind::input_gradient:
        return input_gradient;
      case SlotKind::weight_gradient:
        return weight_gradient;
    }
    return {};
  }
};

/// One rank per stage. Messages are sent and received on streams of their own, in the order of the
/// slots, so compute waits for what it needs and never for what it made. Slots that run as a pair
/// start when both have what they need, and hand on what they made when both are through.
class PipelineProgram {
 public:
  PipelineProgram(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times)
      : placement_(schedule.placement),
        shape_(shape),
        times_(times),
        maker_(static_cast<std::size_t>(shape.stages)) {
    for (std::int32_t stage = 0; stage < shape.stages; ++stage) {
      const std::vector<Slot> slots = schedule.order(shape, stage);
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (slots[i].is_paired) {
          add(stage, {slots[i], slots[i + 1]});
          ++i;
        } else {
          add(stage, {slots[i]});
        }
      }
    }
  }
  [[nodiscard]] const Program& program() { return maker_.program(); }

 private:
  void add(std::int32_t stage, const std::vector<Slot>& together) {
    for (const Slot& slot : together) {
      receive(stage, slot);
    }
    for (const Slot& slot : together) {
      maker_.op(static_cast<std::size_t>(stage), Delay{times_.of(slot.kind)},
                slot.kind == SlotKind::forward ? Phase::forward : Phase::backward);
    }
    for (const Slot& slot : together) {
      send(stage, slot);
    }
  }

  // Activations go from place to place upwards, gradients downwards.
  void receive(std::int32_t stage, const Slot& slot) {
    const bool is_forward = slot.kind == SlotKind::forward;
    if (slot.kind != SlotKind::weight_gradient && has_neighbour(stage, slot.chunk, !is_forward)) {
      const auto rank = static_cast<std::size_t>(stage);
      const std::uint32_t channel = channel_of(slot);
      const EventId arrived = maker_.event(rank);
      maker_.op(rank, Recv{neighbour(stage, slot.chunk, !is_forward), channel, Bytes(1)},
                Phase::forward, 1 + channel);
      maker_.op(rank, Record{arrived}, Phase::forward, 1 + channel);
      maker_.op(rank, Wait{arrived});
    }
  }
  void send(std::int32_t stage, const Slot& slot) {
    const bool is_forward = slot.kind == SlotKind::forward;
    if (slot.kind != SlotKind::weight_gradient && has_neighbour(stage, slot.chunk, is_forward)) {
      const auto rank = static_cast<std::size_t>(stage);
      const std::uint32_t channel = channel_of(slot);
      const EventId made = maker_.event(rank);
      maker_.op(rank, Record{made});
      maker_.op(rank, Wait{made}, Phase::forward, 5 + channel);
      maker_.op(rank, Send{neighbour(stage, slot.chunk, is_forward), channel, Bytes(1)},
                Phase::forward, 5 + channel);
    }
  }

  // Whether another rank has the place after a chunk's, or the place before it.
  [[nodiscard]] bool has_neighbour(std::int32_t stage, std::int32_t chunk, bool is_after) const {
    const std::int32_t place = place_of(placement_, shape_, stage, chunk);
    return is_after ? place < num_places(placement_, shape_) - 1 &&
                          !hands_to_itself(placement_, shape_, stage, chunk)
                    : place > 0 && !gets_from_itself(placement_, shape_, stage, chunk);
  }
  [[nodiscard]] std::uint32_t neighbour(std::int32_t stage, std::int32_t chunk,
                                        bool is_after) const {
    const std::int32_t step = is_after == goes_up(placement_, chunk) ? 1 : shape_.stages - 1;
    return static_cast<std::uint32_t>((stage + step) % shape_.stages);
  }
  // Streams: 0 computes; 1 to 4 receive, 5 to 8 send, one for each channel.
  [[nodiscard]] std::uint32_t channel_of(const Slot& slot) const {
    return (slot.kind == SlotKind::forward ? 0U : 1U) + (goes_up(placement_, slot.chunk) ? 0U : 2U);
  }

  ChunkPlacement placement_;
  PipelineShape shape_;
  SlotTimes times_;
  ProgramMaker maker_;
};

}  // namespace foretrain::testing
