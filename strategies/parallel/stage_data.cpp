// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/stage_data.hpp"

#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/optimizer.hpp"

namespace foretrain {

StageData::StageData(const Run& run, const StageShape& shape, BodyWriter& writer)
    : run_(run),
      shape_(shape),
      writer_(writer),
      data_(run, writer, dense_holders(run)),
      is_slanted_(pipeline_schedule(run.parallel.schedule).end == StepEnd::stage_by_stage &&
                  shape.stages > 1) {
  if (has_expert_grid(run)) {
    expert_data_.emplace(run, writer, expert_holders(run));
  }
  units_.reserve(shape.kinds.size() + 2);
  expert_units_.reserve(shape.kinds.size());
  for (const LayerShape& kind : shape.kinds) {
    const std::int64_t experts = gathered_experts(kind.work);
    units_.push_back(gather_unit(run, kind.work, gathered(kind.work) - experts));
    expert_units_.push_back(whole_unit(experts));
  }
  units_.push_back(gather_unit(run, shape.embedding, gathered(shape.embedding)));
  units_.push_back(gather_unit(run, shape.head, gathered(shape.head) + dropped_table()));
}

const Work& StageData::work(Block block) const {
  if (block == embedding()) {
    return shape_.embedding;
  }
  return block == head() ? shape_.head : shape_.kinds[block].work;
}

// ZeRO-3 gathers all of a block; ZeRO-1 and -2 what was updated.
std::int64_t StageData::gathered(const Work& work) const {
  return run_.parallel.zero == 3 ? work.parameters : work.trained();
}

std::int64_t StageData::gathered_experts(const Work& work) const {
  return run_.parallel.zero == 3 ? work.expert_parameters : work.trained_experts();
}

// What the head multiplies with besides its own: a tied table that ZeRO-3 dropped after the
// embedding comes again.
std::int64_t StageData::dropped_table() const {
  const bool is_dropped = run_.model.tied_embeddings && run_.parallel.zero == 3 &&
                          run_.parallel.pipeline == 1 && reshards_after_forward(run_);
  const std::int64_t tensor = run_.parallel.tensor;
  const std::int64_t rows = padded_vocabulary(run_.model.vocabulary, tensor) / tensor;
  return is_dropped ? rows * run_.model.hidden : 0;
}

void StageData::begin_step() { data_.begin_step(shape_); }

void StageData::enter(Block block, bool is_forward, std::int32_t micro_batch) {
  data_.enter(units_[block], is_forward, micro_batch);
  if (has_experts(block)) {
    expert_data_->enter(expert_units_[block], is_forward, micro_batch);
  }
}

void StageData::enter_again(Block block, std::int32_t micro_batch) {
  data_.enter_again(units_[block], micro_batch);
}

void StageData::leave(Block block, bool is_forward) {
  data_.leave(is_forward);
  if (has_experts(block)) {
    expert_data_->leave(is_forward);
  }
}

void StageData::leave_micro_batch() {
  data_.leave_micro_batch();
  if (expert_data_) {
    expert_data_->leave_micro_batch();
  }
}

void StageData::accumulate(Block block, bool is_final) {
  const Work& done = work(block);
  if (done.trained() == 0) {
    return;
  }
  if (run_.stack.accumulation == Accumulation::separate_16_bit ||
      run_.stack.accumulation == Accumulation::separate_fp32) {
    // Reads the new gradient and the sum, writes the sum.
    const double bytes = 2 + 2 * gradient_size(run_).value;
    writer_.kernel(
        "accumulate gradients",
        MemoryBound{MemoryOp::streaming, Bytes(bytes * static_cast<double>(done.trained()))});
  }
  if (!is_slanted_) {
    gradients_ready(done.trained(), units_[block].tensors, done.trained_experts(), is_final);
  }
}

void StageData::gradients_ready(std::int64_t parameters, std::int64_t tensors,
                                std::int64_t in_experts, bool is_final) {
  data_.gradients_ready(parameters - in_experts, tensors, is_final);
  if (expert_data_ && in_experts > 0) {
    expert_data_->gradients_ready(in_experts, 0, is_final);
  }
}

void StageData::finish_gradients() {
  if (is_slanted_) {
    gradients_ready(shape_.trained(), 0, shape_.trained_experts(), true);
  }
  data_.finish_gradients();
  if (expert_data_) {
    expert_data_->finish_gradients();
  }
}

void StageData::update() {
  write_update(run_, shape_, writer_);
  data_.update_on_host(shape_);
  data_.average(shape_.trained());
  data_.gather_parameters(shape_.trained() - shape_.trained_experts(),
                          persistent_parameters(run_, shape_));
  if (expert_data_ && shape_.trained_experts() > 0) {
    expert_data_->gather_parameters(shape_.trained_experts(), 0);
  }
}

void StageData::drop_gathered() {
  data_.drop_gathered();
  if (expert_data_) {
    expert_data_->drop_gathered();
  }
}

}  // namespace foretrain
