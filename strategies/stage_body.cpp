// One step of one rank of a pipeline stage: slots in the order of the schedule, then the update.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/parallel/data.hpp"
#include "strategies/parallel/optimizer.hpp"
#include "strategies/parallel/tensor.hpp"
#include "strategies/pipeline/transfer.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

class StageBody {
 public:
  StageBody(const Run& run, std::int64_t stage, ProgramBuilder& builder)
      : run_(run),
        shape_(stage_shape(run, stage)),
        writer_(builder, "stage " + std::to_string(stage)),
        tensor_(run, writer_),
        transfer_(run, writer_, tensor_),
        data_(run, writer_),
        backwards_done_(static_cast<std::size_t>(shape_.chunks), 0) {
    kept_ = kept_per_layer(run, shape_);
    saved_ = saved_bytes(shape_.layer);
    std::copy_if(shape_.layer.forward.begin(), shape_.layer.forward.end(),
                 std::back_inserter(attention_core_),
                 [](const Step& step) { return step.is_attention_core; });
  }

  Body write() {
    hold_model_states(run_, shape_, writer_);
    const auto& schedule = pipeline_schedule(run_.parallel.schedule);
    for (const Slot& slot :
         schedule.order(run_.pipeline_shape(), static_cast<std::int32_t>(shape_.stage))) {
      if (slot.is_forward) {
        forward(slot);
      } else {
        backward(slot);
      }
    }
    writer_.tag({Phase::optimizer});
    data_.finish_gradients();
    write_update(run_, shape_, writer_);
    data_.gather_parameters(shape_.parameters);
    writer_.tag({Phase::host});
    writer_.op(kCompute, "host, per step", Delay{run_.stack.host_per_step.value});
    return writer_.take();
  }

 private:
  void forward(const Slot& slot) {
    if (slot.chunk == 0) {
      writer_.tag({Phase::host, slot.micro_batch, slot.chunk});
      writer_.op(kCompute, "host, per micro-batch", Delay{run_.stack.host_per_micro_batch.value});
    }
    writer_.tag({Phase::forward, slot.micro_batch, slot.chunk});
    if (!shape_.is_first(slot.chunk)) {
      transfer_.receive(Direction::forward);
    }
    writer_.op(kCompute, "keep activations",
               Alloc{MemoryClass::activations, kept_by_chunk(slot.chunk)});
    if (shape_.is_first(slot.chunk)) {
      writer_.label("embedding");
      tensor_.write(shape_.embedding.forward, Direction::forward);
    }
    for (std::int64_t i = 0; i < shape_.layers_per_chunk; ++i) {
      label_layer(slot.chunk, i);
      layer_gap(1, slot, Phase::forward);
      tensor_.write(shape_.layer.forward, Direction::forward);
    }
    if (shape_.is_last(slot.chunk)) {
      writer_.label("head and loss");
      tensor_.write(shape_.head.forward, Direction::forward);
    } else {
      transfer_.send(Direction::forward);
    }
  }

  void backward(const Slot& slot) {
    const bool is_final =
        ++backwards_done_[static_cast<std::size_t>(slot.chunk)] == run_.num_micro_batches();
    writer_.tag({Phase::backward, slot.micro_batch, slot.chunk});
    if (shape_.is_last(slot.chunk)) {
      writer_.label("head and loss");
      tensor_.write(shape_.head.backward, Direction::backward);
      accumulate(shape_.head.parameters, is_final);
    } else {
      transfer_.receive(Direction::backward);
    }
    for (std::int64_t i = shape_.layers_per_chunk - 1; i >= 0; --i) {
      label_layer(slot.chunk, i);
      layer_gap(run_.training.recompute == Recompute::full ? 3 : 2, slot, Phase::backward);
      layer_backward(slot);
      accumulate(shape_.layer.parameters, is_final);
    }
    if (shape_.is_first(slot.chunk)) {
      writer_.label("embedding");
      tensor_.write(shape_.embedding.backward, Direction::backward);
      accumulate(shape_.embedding.parameters, is_final);
    }
    writer_.op(kCompute, "drop activations",
               Free{MemoryClass::activations, kept_by_chunk(slot.chunk)});
    if (!shape_.is_first(slot.chunk)) {
      transfer_.send(Direction::backward);
    }
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
  void layer_backward(const Slot& slot) {
    if (run_.training.recompute == Recompute::none) {
      tensor_.write(shape_.layer.backward, Direction::backward);
      return;
    }
    const bool is_full = run_.training.recompute == Recompute::full;
    writer_.op(kCompute, "recomputed activations",
               Alloc{MemoryClass::activations, saved_ - extra_kept()});
    writer_.tag({Phase::recompute, slot.micro_batch, slot.chunk});
    tensor_.write(is_full ? shape_.layer.forward : attention_core_, Direction::forward);
    writer_.tag({Phase::backward, slot.micro_batch, slot.chunk});
    tensor_.write(shape_.layer.backward, Direction::backward);
    writer_.op(kCompute, "recomputed activations",
               Free{MemoryClass::activations, saved_ - extra_kept()});
  }

  // What of a layer's saved tensors was there all along.
  [[nodiscard]] Bytes extra_kept() const { return std::min(kept_, saved_); }

  // Gradients of one micro-batch join the sum of the step; those of the last are final.
  void accumulate(std::int64_t parameters, bool is_final) {
    if (run_.stack.accumulation != Accumulation::in_gemm) {
      // Reads the new gradient and the sum, writes the sum.
      const double bytes = run_.stack.accumulation == Accumulation::separate_16_bit ? 6 : 10;
      writer_.kernel(
          "accumulate gradients",
          MemoryBound{MemoryOp::streaming, Bytes(bytes * static_cast<double>(parameters))});
    }
    if (is_final) {
      data_.gradients_ready(parameters);
    }
  }

  [[nodiscard]] Bytes kept_by_chunk(std::int32_t chunk) const {
    Bytes bytes = static_cast<double>(shape_.layers_per_chunk) * kept_;
    if (shape_.is_first(chunk)) {
      bytes += saved_bytes(shape_.embedding);
    }
    if (shape_.is_last(chunk)) {
      bytes += saved_bytes(shape_.head);
    }
    return bytes;
  }

  void label_layer(std::int32_t chunk, std::int64_t i) {
    writer_.label("layer " + std::to_string(shape_.layer_number(chunk, i)));
  }

  const Run& run_;
  StageShape shape_;
  BodyWriter writer_;
  TensorParallel tensor_;
  PipelineTransfer transfer_;
  DataParallel data_;
  Bytes kept_;
  Bytes saved_;
  std::vector<Step> attention_core_;
  std::vector<std::int64_t> backwards_done_;  // by chunk
};

}  // namespace

Body stage_body(const Run& run, std::int64_t stage, ProgramBuilder& builder) {
  return StageBody(run, stage, builder).write();
}

}  // namespace foretrain
