// Makes the program of a pipeline schedule alone: equal chunks, and messages that cost nothing. The
// schedule's bubble is then all that a step takes beyond its work.
// SPDX-License-Identifier: Apache-2.0
#pragma once

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
/// slots, so compute waits for what it needs and never for what it made.
class PipelineProgram {
 public:
  PipelineProgram(const PipelineSchedule& schedule, const PipelineShape& shape, SlotTimes times)
      : shape_(shape), times_(times), maker_(static_cast<std::size_t>(shape.stages)) {
    for (std::int32_t stage = 0; stage < shape.stages; ++stage) {
      for (const Slot& slot : schedule.order(shape, stage)) {
        add(stage, slot);
      }
    }
  }
  [[nodiscard]] const Program& program() { return maker_.program(); }

 private:
  // Chunk c of stage s is place c p + s of the model, forwards go up, backwards down.
  void add(std::int32_t stage, const Slot& slot) {
    const std::int32_t place = slot.chunk * shape_.stages + stage;
    const std::int32_t last = shape_.stages * shape_.virtual_stages - 1;
    const std::uint32_t up = static_cast<std::uint32_t>((stage + 1) % shape_.stages);
    const std::uint32_t down =
        static_cast<std::uint32_t>((stage + shape_.stages - 1) % shape_.stages);
    const auto rank = static_cast<std::size_t>(stage);
    const Seconds time = times_.of(slot.kind);
    if (slot.kind == SlotKind::forward) {
      receive(rank, place > 0, down, 0);
      maker_.op(rank, Delay{time});
      send(rank, place < last, up, 0);
    } else if (slot.kind == SlotKind::weight_gradient) {
      maker_.op(rank, Delay{time}, Phase::backward);
    } else {
      receive(rank, place < last, up, 1);
      maker_.op(rank, Delay{time}, Phase::backward);
      send(rank, place > 0, down, 1);
    }
  }

  // Streams: 0 computes; 1 and 2 receive activations and gradients; 3 and 4 send them.
  void receive(std::size_t rank, bool is_needed, std::uint32_t peer, std::uint32_t channel) {
    if (is_needed) {
      const EventId arrived = maker_.event(rank);
      maker_.op(rank, Recv{peer, channel, Bytes(1)}, Phase::forward, 1 + channel);
      maker_.op(rank, Record{arrived}, Phase::forward, 1 + channel);
      maker_.op(rank, Wait{arrived});
    }
  }
  void send(std::size_t rank, bool is_needed, std::uint32_t peer, std::uint32_t channel) {
    if (is_needed) {
      const EventId made = maker_.event(rank);
      maker_.op(rank, Record{made});
      maker_.op(rank, Wait{made}, Phase::forward, 3 + channel);
      maker_.op(rank, Send{peer, channel, Bytes(1)}, Phase::forward, 3 + channel);
    }
  }

  PipelineShape shape_;
  SlotTimes times_;
  ProgramMaker maker_;
};

}  // namespace foretrain::testing
