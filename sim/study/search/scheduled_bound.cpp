// The bound that follows every pass: stages do their slots in the order of the schedule, each when
// the stage is free and what it needs has come; messages of one way follow one another.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "sim/core/error.hpp"
#include "sim/study/search/bounds.hpp"
#include "strategies/pipeline/placement.hpp"

namespace foretrain {
namespace {

/// Where a stage is in its slots.
struct StageState {
  std::vector<Slot> slots;
  std::size_t next = 0;
  Seconds now;
  std::vector<Seconds> sending;        ///< by lane of messages: the last one has gone
  std::vector<std::int32_t> forwards;  ///< by chunk, done
  std::vector<std::int32_t> finals;    ///< by chunk: passes that made weight gradients
  Seconds gathered;                    ///< what the first forwards have waited for so far
  Bytes held;
  Bytes most_held;
  std::vector<LateGradients> late;  ///< of each chunk, in the order in which they are final
  std::int32_t final_chunk = 0;
  bool is_final_split = false;
  bool is_updated = false;
};

class Schedule {
 public:
  Schedule(const LaidOutRun& laid_out, const PipelineTimes& pipeline,
           const std::vector<const StageEnd*>& ends)
      : laid_out_(laid_out),
        pipeline_(pipeline),
        ends_(ends),
        micro_batches_(static_cast<std::size_t>(laid_out.shape.micro_batches)),
        is_blocking_(
            laid_out.run.parallel.blocking_sends.value_or(laid_out.run.stack.blocking_sends)),
        stages_(pipeline.stages) {
    const std::size_t places = pipeline.lanes.front().size();
    forward_.assign(places * micro_batches_, kNever);
    backward_ = forward_;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      StageState& stage = stages_[s];
      stage.slots = laid_out.schedule.order(laid_out.shape, static_cast<std::int32_t>(s));
      stage.sending.assign(4, Seconds(0));
      stage.forwards.assign(pipeline.chunks_per_stage, 0);
      stage.finals.assign(pipeline.chunks_per_stage, 0);
      hold_late_weight_gradients(stage, s);
    }
  }

  LayoutBound bound() {
    run();
    std::vector<EndedStage> ended;
    Bytes memory;
    for (std::size_t s = 0; s < stages_.size(); ++s) {
      ended.push_back(ended_stage(s));
      memory = std::max(memory, ends_[s]->resident + (1 + ends_[s]->slack) * stages_[s].most_held);
    }
    return {finish(laid_out_.run, laid_out_.passes, laid_out_.is_slanted, ended), memory,
            Seconds(0)};
  }

 private:
  static constexpr Seconds kNever{-1};

  [[nodiscard]] const ChunkTimes& chunk_of(std::size_t stage, const Slot& slot) const {
    return pipeline_.at(stage, slot.chunk);
  }
  [[nodiscard]] Seconds& at(std::vector<Seconds>& times, std::int64_t place,
                            std::int32_t micro_batch) const {
    return times[static_cast<std::size_t>(place) * micro_batches_ +
                 static_cast<std::size_t>(micro_batch)];
  }
  [[nodiscard]] std::int64_t last_place() const {
    return static_cast<std::int64_t>(pipeline_.lanes.front().size()) - 1;
  }

  // The end of the step before holds what the weight gradients that lead need.
  void hold_late_weight_gradients(StageState& stage, std::size_t s) {
    for (const Slot& slot : stage.slots) {
      if (!laid_out_.is_slanted || slot.kind != SlotKind::weight_gradient) {
        break;
      }
      stage.held += chunk_of(s, slot).stored;
    }
    stage.most_held = stage.held;
  }

  void run() {
    bool is_going_on = true;
    while (is_going_on) {
      is_going_on = false;
      for (std::size_t s = 0; s < stages_.size(); ++s) {
        while (stages_[s].next < stages_[s].slots.size() && step(s)) {
          is_going_on = true;
        }
      }
    }
    for (const StageState& stage : stages_) {
      FORETRAIN_ASSERT(stage.next == stage.slots.size(), "a schedule that cannot go on");
    }
  }

  // When the input of a slot has come; nothing while that is not known.
  [[nodiscard]] std::optional<Seconds> input(std::size_t s, const Slot& slot) {
    const std::int64_t place = chunk_of(s, slot).place;
    Seconds time(0);
    if (slot.kind == SlotKind::forward) {
      time = place == 0 ? Seconds(0) : at(forward_, place - 1, slot.micro_batch);
    } else if (slot.kind != SlotKind::weight_gradient) {
      time = place == last_place() ? Seconds(0) : at(backward_, place + 1, slot.micro_batch);
    }
    return time == kNever ? std::nullopt : std::optional(time);
  }

  // One slot, or two in turn; false where it has to wait.
  bool step(std::size_t s) {
    StageState& stage = stages_[s];
    const Slot& slot = stage.slots[stage.next];
    const auto ready = input(s, slot);
    if (!ready) {
      return false;
    }
    if (laid_out_.is_slanted && !stage.is_updated && slot.kind != SlotKind::weight_gradient) {
      stage.now += slanted_update(*ends_[s], laid_out_.passes);
      stage.is_updated = true;
    }
    if (slot.is_paired && stage.next + 1 < stage.slots.size()) {
      return pair(s, slot, *ready, stage.slots[stage.next + 1]);
    }
    const Seconds begin = std::max(stage.now + host_before(s, slot), *ready);
    stage.now = std::max(begin, done(s, slot, begin, begin + time_of(s, slot)));
    ++stage.next;
    return true;
  }

  // Each is a chain of its own; of the stream they share, their kernels take what they take.
  bool pair(std::size_t s, const Slot& one, Seconds one_ready, const Slot& other) {
    StageState& stage = stages_[s];
    const auto other_ready = input(s, other);
    if (!other_ready) {
      return false;
    }
    const Seconds begin = stage.now + host_before(s, one) + host_before(s, other);
    const Seconds kernels = kernels_of(s, one) + kernels_of(s, other);
    const Seconds one_begin = std::max(stage.now, one_ready);
    const Seconds other_begin = std::max(stage.now, *other_ready);
    const Seconds first = done(s, one, one_begin, one_begin + time_of(s, one));
    const Seconds second = done(s, other, other_begin, other_begin + time_of(s, other));
    stage.now =
        std::max({first, second, begin + kernels, std::min(one_begin, other_begin) + kernels});
    stage.next += 2;
    return true;
  }

  [[nodiscard]] Seconds host_before(std::size_t s, const Slot& slot) const {
    return slot.kind == SlotKind::forward ? chunk_of(s, slot).host : Seconds(0);
  }

  [[nodiscard]] static const PassTime& pass_of(const ChunkTimes& chunk, SlotKind kind) {
    switch (kind) {
      case SlotKind::forward:
        return chunk.forward;
      case SlotKind::backward:
        return chunk.backward;
      case SlotKind::input_gradient:
        return chunk.input_gradient;
      case SlotKind::weight_gradient:
        return chunk.weight_gradient;
    }
    throw InternalError("a kind of slot that takes no time");
  }
  [[nodiscard]] Seconds kernels_of(std::size_t s, const Slot& slot) const {
    return pass_of(chunk_of(s, slot), slot.kind).kernels;
  }

  [[nodiscard]] Seconds time_of(std::size_t s, const Slot& slot) const {
    const ChunkTimes& chunk = chunk_of(s, slot);
    const bool is_forward = slot.kind == SlotKind::forward;
    const double gathers =
        is_forward ? laid_out_.passes.forward_gathers : laid_out_.passes.backward_gathers;
    const bool waits = laid_out_.has_gathers && slot.kind != SlotKind::weight_gradient &&
                       gathers > 1;  // else only the first pass gathers
    return pass_of(chunk, slot.kind).stream +
           (waits ? serial_gather(laid_out_, *ends_[s], static_cast<std::size_t>(slot.chunk),
                                  is_forward)
                  : Seconds(0));
  }

  // Books a slot that runs from `begin` to `end`, and sends what it made. Returns when the stage
  // goes on.
  Seconds done(std::size_t s, const Slot& slot, Seconds begin, Seconds end) {
    const ChunkTimes& chunk = chunk_of(s, slot);
    StageState& stage = stages_[s];
    switch (slot.kind) {
      case SlotKind::forward:
        end = forward_done(stage, s, slot, end);
        return send(stage, forward_, slot, chunk.place, chunk.message, end, 0);
      case SlotKind::backward:
      case SlotKind::input_gradient:
        backward_held(stage, chunk, slot);
        if (slot.kind == SlotKind::backward) {
          gradients_done(s, slot, begin + chunk.first_gradients);
        }
        return send(stage, backward_, slot, chunk.place, chunk.message_back, end, 1);
      case SlotKind::weight_gradient:
        gradients_done(s, slot, begin);
        stage.held -= chunk.stored;
        return end;
    }
    return end;
  }

  Seconds forward_done(StageState& stage, std::size_t s, const Slot& slot, Seconds end) {
    const ChunkTimes& chunk = chunk_of(s, slot);
    const bool is_first = stage.forwards[static_cast<std::size_t>(slot.chunk)]++ == 0;
    if (is_first && laid_out_.passes.forward_gathers > 0) {
      stage.gathered += ends_[s]->dense.chunks[static_cast<std::size_t>(slot.chunk)].gather;
      if (!laid_out_.is_slanted) {
        end = std::max(end, stage.gathered + chunk.last_forward);
      }
    }
    stage.held += chunk.kept;
    if (is_first && !reshards_after_forward(laid_out_.run)) {
      stage.held += gathered_bytes(laid_out_, chunk);
    }
    stage.most_held = std::max(stage.most_held, stage.held);
    return end;
  }

  void backward_held(StageState& stage, const ChunkTimes& chunk, const Slot& slot) const {
    const Bytes gathered =
        reshards_after_forward(laid_out_.run) ? gathered_bytes(laid_out_, chunk) : Bytes(0);
    stage.most_held = std::max(stage.most_held, stage.held + std::max(chunk.made_again, gathered));
    stage.held -= chunk.kept;
    if (slot.kind == SlotKind::input_gradient) {
      stage.held += chunk.stored;
      stage.most_held = std::max(stage.most_held, stage.held);
    }
  }

  void gradients_done(std::size_t s, const Slot& slot, Seconds ready) {
    StageState& stage = stages_[s];
    const auto c = static_cast<std::size_t>(slot.chunk);
    const auto of_chunk =
        micro_batches_of(laid_out_.schedule.placement, laid_out_.shape, slot.chunk);
    if (++stage.finals[c] == of_chunk.count) {
      const DataTimes& experts = ends_[s]->experts;
      stage.late.push_back({ready, ends_[s]->dense.chunks[c].sum,
                            experts.chunks.empty() ? Seconds(0) : experts.chunks[c].sum});
      stage.final_chunk = slot.chunk;
      stage.is_final_split = slot.kind == SlotKind::weight_gradient;
    }
  }

  // A message that goes when what was sent the same way before has gone. Where places have another
  // lane each way has messages of its own.
  Seconds send(StageState& stage, std::vector<Seconds>& times, const Slot& slot, std::int64_t place,
               Seconds message, Seconds end, std::size_t way) {
    Seconds arrival = end;
    if (message > Seconds(0)) {
      const bool goes_up = foretrain::goes_up(laid_out_.schedule.placement, slot.chunk);
      Seconds& sending = stage.sending[way + (goes_up ? 0 : 2)];
      arrival = std::max(end, sending) + message;
      sending = arrival;
    }
    at(times, place, slot.micro_batch) = arrival;
    return is_blocking_ ? arrival : end;
  }

  [[nodiscard]] EndedStage ended_stage(std::size_t s) {
    StageState& stage = stages_[s];
    EndedStage ended;
    ended.stage = s;
    ended.slots_end = stage.now;
    ended.end = ends_[s];
    const auto last = static_cast<std::size_t>(stage.final_chunk);
    ended.last_dense = last_sum(ends_[s]->dense, last, stage.is_final_split);
    if (!ends_[s]->experts.chunks.empty()) {
      ended.last_experts = last_sum(ends_[s]->experts, last, stage.is_final_split);
    }
    for (std::size_t i = stage.late.size(); i-- > 1;) {  // and all that are final after it
      stage.late[i - 1].dense += stage.late[i].dense;
      stage.late[i - 1].experts += stage.late[i].experts;
    }
    ended.late = stage.late;
    return ended;
  }

  const LaidOutRun& laid_out_;
  const PipelineTimes& pipeline_;
  const std::vector<const StageEnd*>& ends_;
  std::size_t micro_batches_;
  bool is_blocking_;
  std::vector<StageState> stages_;
  std::vector<Seconds> forward_;   // by place and micro-batch: has come to the place after it
  std::vector<Seconds> backward_;  // likewise before it
};

}  // namespace

LayoutBound LayoutBounds::scheduled_of(const LaidOutRun& laid_out, std::size_t column) {
  const PipelineTimes& pipeline = table_.pipeline(laid_out.run, laid_out.grid, column);
  std::vector<const StageEnd*> ends;
  ends.reserve(pipeline.stages);
  for (std::size_t stage = 0; stage < pipeline.stages; ++stage) {
    ends.push_back(
        &ends_.end(laid_out.run, laid_out.grid, column, static_cast<std::int64_t>(stage)));
  }
  return Schedule(laid_out, pipeline, ends).bound();
}

}  // namespace foretrain
