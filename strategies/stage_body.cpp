// One step of one rank of a pipeline stage: slots in the order of the schedule, then the update.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "strategies/parallel/activation_offload.hpp"
#include "strategies/parallel/optimizer.hpp"
#include "strategies/parallel/stage_data.hpp"
#include "strategies/parallel/tensor.hpp"
#include "strategies/pipeline/transfer.hpp"
#include "strategies/pipeline/weave.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

// The part of what the head keeps that grows with the vocabulary.
Bytes logit_bytes(const Work& head) {
  Bytes total;
  for (const SavedTensor& tensor : head.saved) {
    if (tensor.name == "logits" || tensor.name == "gathered_logits") {
      total += tensor.bytes;
    }
  }
  return Bytes(std::ceil(total.value));
}

class StageBody {
 public:
  StageBody(const Run& run, std::int64_t stage, ProgramBuilder& builder)
      : run_(run),
        shape_(stage_shape(run, stage)),
        writer_(builder, "stage " + std::to_string(stage)),
        tensor_(run, writer_),
        context_(run, writer_),
        experts_(run, writer_),
        transfer_(run, stage, writer_, tensor_),
        data_(run, shape_, writer_),
        offload_(run, writer_),
        schedule_(pipeline_schedule(run.parallel.schedule)),
        is_slanted_(schedule_.end == StepEnd::stage_by_stage && shape_.stages > 1),
        split_head_(split_backward(shape_.head)),
        backwards_done_(static_cast<std::size_t>(shape_.chunks), 0),
        gradients_done_(backwards_done_) {
    tensor_.set_context(&context_);
    tensor_.set_experts(&experts_);
  }

  Body write() {
    hold_model_states(run_, shape_, writer_);
    CompressedWire(run_, writer_, WirePlace::gradients).hold_state(shape_.trained());
    writer_.launch_time(run_.stack.host_per_kernel.value);
    if (run_.offload.delayed_update) {
      writer_.tag({Phase::optimizer});
      data_.begin_step();
    }
    const std::vector<Slot> slots =
        schedule_.order(run_.pipeline_shape(), static_cast<std::int32_t>(shape_.stage));
    writer_.host(waiting_in_host(slots));
    if (is_slanted_) {
      write_after_step_before(slots);
    } else {
      write_slots(slots);
      writer_.tag({Phase::optimizer});
      data_.finish_gradients();
      sum_tied_embedding(run_, shape_, writer_);
      data_.update();
    }
    data_.drop_gathered();
    writer_.tag({Phase::host});
    writer_.op(kCompute, "host, per step", Delay{run_.stack.host_per_step.value});
    return writer_.take();
  }

 private:
  void write_slots(std::span<const Slot> slots) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].is_paired && i + 1 < slots.size()) {
        write_pair(slots[i], slots[i + 1]);
        ++i;
      } else {
        write_slot(slots[i]);
      }
    }
  }

  void write_slot(const Slot& slot) {
    if (slot.kind == SlotKind::forward) {
      forward(slot);
    } else if (slot.kind == SlotKind::weight_gradient) {
      weight_gradient(slot);
    } else {
      backward(slot);
    }
  }

  void write_pair(const Slot& first, const Slot& second) {
    if (beside_ == kCompute) {
      beside_ = writer_.add_stream("pair");
    }
    tensor_.begin_pair();
    std::vector<PlacedOp> one = writer_.capture([&] { write_slot(first); });
    std::vector<PlacedOp> other = writer_.capture([&] { write_slot(second); });
    tensor_.end_pair();
    weave(std::move(one), std::move(other), beside_, writer_);
  }

  // The end of the step before, then this step up to where the next one takes over: what is late
  // at the end was late at the start. The embedding is summed where both its stages come by at
  // about the same time, as if the last stage did the head's late weight gradients first.
  void write_after_step_before(std::span<const Slot> slots) {
    const auto first = std::find_if(slots.begin(), slots.end(), [](const Slot& slot) {
      return slot.kind != SlotKind::weight_gradient;
    });
    const auto late = static_cast<std::size_t>(first - slots.begin());
    Bytes stored;
    for (const Slot& slot : slots.first(late)) {
      stored += stored_by_chunk(slot.chunk);
    }
    writer_.op(kCompute, "weight gradients of the step before",
               Alloc{MemoryClass::activations, stored});
    write_slots(slots.first(late));
    writer_.tag({Phase::optimizer});
    data_.finish_gradients();
    data_.update();
    write_slots(slots.subspan(late));
    writer_.tag({Phase::optimizer});
    sum_tied_embedding(run_, shape_, writer_);
    writer_.op(kCompute, "weight gradients for the step after",
               Free{MemoryClass::activations, stored});
  }

  void forward(const Slot& slot) {
    if (slot.chunk == 0 || schedule_.placement == ChunkPlacement::both_ways) {
      writer_.tag({Phase::host, slot.micro_batch, slot.chunk});
      writer_.op(kCompute, "host, per micro-batch", Delay{run_.stack.host_per_micro_batch.value});
    }
    writer_.tag({Phase::forward, slot.micro_batch, slot.chunk});
    transfer_.receive(Direction::forward, slot.chunk, stream_into(slot.chunk));
    keep<Alloc>(slot.chunk, "keep activations");
    if (shape_.is_first(slot.chunk)) {
      writer_.label("embedding");
      data_.enter(data_.embedding(), true, order_of(slot));
      write(shape_.embedding.forward, shape_.embedding, Direction::forward);
      data_.leave(data_.embedding(), true);
    }
    for (std::int64_t i = 0; i < shape_.layers_in(slot.chunk); ++i) {
      const Work& layer = layer_at(slot.chunk, i).work;
      label_layer(slot.chunk, i);
      data_.enter(kind_at(slot.chunk, i), true, order_of(slot));
      layer_gap(1, slot, Phase::forward);
      offload_.before_forward(kept_at(slot.chunk, i));
      write(layer.forward, layer, Direction::forward);
      offload_.after_forward(pass_of(slot, i), kept_at(slot.chunk, i));
      data_.leave(kind_at(slot.chunk, i), true);
    }
    if (shape_.is_last(slot.chunk)) {
      writer_.label("head and loss");
      data_.enter(data_.head(), true, order_of(slot));
      write(shape_.head.forward, shape_.head, Direction::forward);
      data_.leave(data_.head(), true);
    }
    transfer_.send(Direction::forward, slot.chunk, stream_out_of(slot.chunk));
  }

  // All of it, or all but the weight gradients.
  void backward(const Slot& slot) {
    const bool is_whole = slot.kind == SlotKind::backward;
    const auto chunk = static_cast<std::size_t>(slot.chunk);
    const bool is_last = ++backwards_done_[chunk] == through(slot.chunk).count;
    const bool is_final = is_whole && ++gradients_done_[chunk] == through(slot.chunk).count;
    writer_.tag({Phase::backward, slot.micro_batch, slot.chunk});
    if (shape_.is_last(slot.chunk)) {
      writer_.label("head and loss");
      data_.enter(data_.head(), false, order_of(slot));
      write(is_whole ? shape_.head.backward : split_head_.input_gradient, shape_.head,
            Direction::backward);
      data_.leave(data_.head(), false);
      if (is_whole) {
        data_.accumulate(data_.head(), is_final);
      }
    }
    transfer_.receive(Direction::backward, slot.chunk, stream_out_of(slot.chunk));
    for (std::int64_t i = shape_.layers_in(slot.chunk) - 1; i >= 0; --i) {
      const LayerShape& layer = layer_at(slot.chunk, i);
      if (layer.work.backward.empty()) {  // frozen, as is all before it
        continue;
      }
      label_layer(slot.chunk, i);
      data_.enter(kind_at(slot.chunk, i), false, order_of(slot));
      const bool is_again = is_recomputed(run_, shape_.layer_number(slot.chunk, i), i);
      const bool is_full = is_again && run_.training.recompute == Recompute::full;
      layer_gap((is_full ? 2 : 1) + (is_whole ? 1 : 0), slot, Phase::backward);
      fetch_activations(slot, i);
      layer_backward(slot, kind_at(slot.chunk, i), is_again);
      offload_.after_backward(kept_at(slot.chunk, i));
      data_.leave(kind_at(slot.chunk, i), false);
      if (is_whole) {
        data_.accumulate(kind_at(slot.chunk, i), is_final);
      }
    }
    if (shape_.is_first(slot.chunk)) {
      writer_.label("embedding");
      write(shape_.embedding.backward, shape_.embedding, Direction::backward);
      data_.accumulate(data_.embedding(), is_last);
    }
    if (slot.chunk == 0) {
      data_.leave_micro_batch();
    }
    keep<Free>(slot.chunk, "drop activations");
    if (!is_whole) {
      writer_.op(kCompute, "store for weight gradients",
                 Alloc{MemoryClass::activations, stored_by_chunk(slot.chunk)});
    }
    transfer_.send(Direction::backward, slot.chunk, stream_into(slot.chunk));
  }

  void weight_gradient(const Slot& slot) {
    const bool is_final =
        ++gradients_done_[static_cast<std::size_t>(slot.chunk)] == through(slot.chunk).count;
    writer_.tag({Phase::backward, slot.micro_batch, slot.chunk});
    if (shape_.is_last(slot.chunk)) {
      writer_.label("head and loss");
      write(split_head_.weight_gradient, shape_.head, Direction::backward);
      data_.accumulate(data_.head(), is_final);
    }
    for (std::int64_t i = shape_.layers_in(slot.chunk) - 1; i >= 0; --i) {
      const LayerShape& layer = layer_at(slot.chunk, i);
      label_layer(slot.chunk, i);
      layer_gap(1, slot, Phase::backward);
      write(layer.split.weight_gradient, layer.work, Direction::backward);
      data_.accumulate(kind_at(slot.chunk, i), is_final);
    }
    writer_.op(kCompute, "drop store for weight gradients",
               Free{MemoryClass::activations, stored_by_chunk(slot.chunk)});
  }

  [[nodiscard]] MicroBatches through(std::int32_t chunk) const {
    return micro_batches_of(schedule_.placement, run_.pipeline_shape(), chunk);
  }

  // How many micro-batches have gone through the slot's chunk before.
  [[nodiscard]] std::int32_t order_of(const Slot& slot) const {
    return slot.micro_batch - through(slot.chunk).first;
  }

  void layer_gap(std::int32_t times, const Slot& slot, Phase resumed) {
    if (run_.stack.host_per_layer.value > Seconds(0)) {
      writer_.tag({Phase::host, slot.micro_batch, slot.chunk});
      writer_.op(kCompute, "host, per layer",
                 Delay{static_cast<double>(times) * run_.stack.host_per_layer.value});
      writer_.tag({resumed, slot.micro_batch, slot.chunk});
    }
  }

  // A layer's backward, with whatever has to be computed again before it.
  void layer_backward(const Slot& slot, std::size_t kind, bool is_again) {
    const LayerShape& layer = shape_.kinds[kind];
    const std::vector<Step>& steps =
        slot.kind == SlotKind::backward ? layer.work.backward : layer.split.input_gradient;
    if (!is_again) {
      write(steps, layer.work, Direction::backward);
      return;
    }
    // Some of what a layer saves was there all along.
    const Bytes again = layer.saved - std::min(layer.kept, layer.saved);
    writer_.op(kCompute, "recomputed activations", Alloc{MemoryClass::activations, again});
    writer_.tag({Phase::recompute, slot.micro_batch, slot.chunk});
    write(layer.recomputed, layer.work, Direction::forward);
    writer_.tag({Phase::backward, slot.micro_batch, slot.chunk});
    data_.enter_again(kind, order_of(slot));
    write(steps, layer.work, Direction::backward);
    writer_.op(kCompute, "recomputed activations", Free{MemoryClass::activations, again});
  }

  void write(const std::vector<Step>& steps, const Work& work, Direction direction) {
    tensor_.write(steps, direction, stream_bytes(run_, work));
  }

  [[nodiscard]] std::size_t kind_at(std::int32_t chunk, std::int64_t i) const {
    return shape_.kind_of_layer[static_cast<std::size_t>(shape_.layer_number(chunk, i))];
  }
  [[nodiscard]] const LayerShape& layer_at(std::int32_t chunk, std::int64_t i) const {
    return shape_.layer(shape_.layer_number(chunk, i));
  }

  // The residual stream after a layer; the first gets the embedding's.
  [[nodiscard]] Bytes stream_after(std::int64_t layer_number) const {
    return stream_bytes(run_,
                        layer_number < 0 ? shape_.embedding : shape_.layer(layer_number).work);
  }
  [[nodiscard]] Bytes stream_into(std::int32_t chunk) const {
    return stream_after(shape_.layer_number(chunk, 0) - 1);
  }
  [[nodiscard]] Bytes stream_out_of(std::int32_t chunk) const {
    return stream_after(shape_.layer_number(chunk, shape_.layers_in(chunk)) - 1);
  }

  // What a chunk keeps from forward to backward of a micro-batch comes (Alloc) or goes (Free).
  template <class Change>
  void keep(std::int32_t chunk, std::string_view name) {
    Bytes activations = shape_.is_first(chunk) ? saved_bytes(shape_.embedding) : Bytes(0);
    for (std::int64_t i = 0; i < shape_.layers_in(chunk); ++i) {
      const Bytes kept = kept_at(chunk, i);
      activations += kept - offload_.part_of(kept);
    }
    if (shape_.is_last(chunk)) {
      const Bytes logits = logit_bytes(shape_.head);
      activations += saved_bytes(shape_.head) - logits;
      writer_.op(kCompute, name, Change{MemoryClass::logits, logits});
    }
    writer_.op(kCompute, name, Change{MemoryClass::activations, activations});
  }

  // Of one layer, from its forward to its backward.
  [[nodiscard]] Bytes kept_at(std::int32_t chunk, std::int64_t i) const {
    const LayerShape& layer = layer_at(chunk, i);
    return is_recomputed(run_, shape_.layer_number(chunk, i), i) ? layer.kept : layer.saved;
  }

  [[nodiscard]] LayerPass pass_of(const Slot& slot, std::int64_t i) const {
    return {slot.micro_batch, shape_.layer_number(slot.chunk, i)};
  }

  // What the layer needs comes from the host, and what the next one needs sets out.
  void fetch_activations(const Slot& slot, std::int64_t i) {
    offload_.fetch(pass_of(slot, i), kept_at(slot.chunk, i));
    if (i > 0) {
      offload_.fetch(pass_of(slot, i - 1), kept_at(slot.chunk, i - 1));
    }
    offload_.before_backward(pass_of(slot, i));
  }

  // The most that the host holds of the micro-batches that are under way.
  [[nodiscard]] Bytes waiting_in_host(std::span<const Slot> slots) const {
    Bytes now;
    Bytes most;
    for (const Slot& slot : slots) {
      Bytes chunk;
      for (std::int64_t i = 0; i < shape_.layers_in(slot.chunk); ++i) {
        chunk += offload_.part_of(kept_at(slot.chunk, i));
      }
      if (slot.kind == SlotKind::forward) {
        now += chunk;
      } else if (slot.kind != SlotKind::weight_gradient) {
        now -= chunk;
      }
      most = std::max(most, now);
    }
    return most;
  }

  // From the input gradients of a micro-batch to its weight gradients.
  [[nodiscard]] Bytes stored_by_chunk(std::int32_t chunk) const {
    Bytes stored = shape_.is_last(chunk) ? split_head_.stored : Bytes(0);
    for (std::int64_t i = 0; i < shape_.layers_in(chunk); ++i) {
      stored += layer_at(chunk, i).split.stored;
    }
    return stored;
  }

  void label_layer(std::int32_t chunk, std::int64_t i) {
    writer_.label("layer " + std::to_string(shape_.layer_number(chunk, i)));
  }

  const Run& run_;
  StageShape shape_;
  BodyWriter writer_;
  TensorParallel tensor_;
  ContextParallel context_;
  ExpertParallel experts_;
  PipelineTransfer transfer_;
  StageData data_;
  ActivationOffload offload_;
  const PipelineSchedule& schedule_;
  StreamIndex beside_ = kCompute;  // collectives of passes that run as a pair
  bool is_slanted_;                // stages end a step one after the other
  SplitBackward split_head_;
  std::vector<std::int64_t> backwards_done_;  // whole or up to the input's gradient, by chunk
  std::vector<std::int64_t> gradients_done_;  // of weights, likewise
};

}  // namespace

Body stage_body(const Run& run, std::int64_t stage, ProgramBuilder& builder) {
  return StageBody(run, stage, builder).write();
}

}  // namespace foretrain
