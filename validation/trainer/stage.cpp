// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/stage.hpp"

namespace foretrain::trainer {

std::vector<Unit> stage_units(const Plan& plan, const Place& place) {
  std::vector<Unit> units;
  if (place.pipeline == 0) {
    units.push_back(embedding_unit(plan, place));
  }
  const std::int64_t first = place.pipeline * plan.layers_per_stage();
  for (std::int64_t layer = first; layer < first + plan.layers_per_stage(); ++layer) {
    units.push_back(layer_unit(plan, place, layer));
  }
  if (place.pipeline == plan.pipeline() - 1) {
    units.push_back(head_unit(plan, place));
  }
  return units;
}

Stage::Stage(Device& device, const Plan& plan, const Place& place, TensorParallel& tensor,
             DataParallel& states, std::size_t in_flight)
    : device_(device),
      shape_(layer_shape(plan)),
      tensor_(tensor),
      states_(states),
      is_first_(place.pipeline == 0),
      is_last_(place.pipeline == plan.pipeline() - 1),
      is_recomputed_(plan.training.recompute == Recompute::full),
      rows_(plan.model.vocabulary / plan.parallel.tensor),
      first_row_(rows_ * place.tensor),
      held_(in_flight),
      scratch_(layer_scratch(device, shape_)) {
  const auto stream = [&](MemoryClass what) {
    return device_.allocate(shape_.tokens() * shape_.hidden, device_.activation_type(), what);
  };
  const auto layers = static_cast<std::size_t>(plan.layers_per_stage());
  layers_.reserve(layers);
  for (std::size_t layer = 0; layer < layers; ++layer) {
    layers_.emplace_back(device, shape_, tensor, states, unit_of(layer));
  }
  for (Held& held : held_) {
    for (std::size_t i = 0; i <= layers; ++i) {
      held.streams.push_back(stream(MemoryClass::activations));
    }
    for (std::size_t i = 0; i < layers && !is_recomputed_; ++i) {
      held.kept.push_back(layer_activations(device_, shape_));
    }
    if (is_last_) {
      allocate_head(held);
    }
  }
  if (is_recomputed_) {
    again_ = layer_activations(device_, shape_);
    again_out_ = stream(MemoryClass::buffers);
  }
  for (std::size_t i = 0; i < (plan.pipeline() > 1 ? 2U : 1U); ++i) {
    gradients_.push_back(stream(MemoryClass::buffers));
  }
  if (is_last_) {
    head_gradient_ = stream(MemoryClass::buffers);
    losses_ = device_.allocate(shape_.tokens(), Type::fp32, MemoryClass::buffers);
    own_losses_ = device_.allocate(shape_.tokens(), Type::fp32, MemoryClass::buffers);
  }
}

void Stage::allocate_head(Held& held) {
  const std::int64_t n = shape_.tokens();
  const auto memory = [&](std::int64_t count, Type type) {
    return device_.allocate(count, type, MemoryClass::activations);
  };
  held.norm = memory(n * shape_.hidden, device_.activation_type());
  held.statistics = memory(2 * n, Type::fp32);
  held.logits = memory(n * rows_, device_.activation_type());
  held.row_max = memory(n, Type::fp32);
  held.sums = memory(2 * n, Type::fp32);
}

void Stage::begin_step() {
  if (is_last_) {
    device_.clear(kCompute, losses_);
  }
}

void Stage::forward(std::size_t micro_batch, const Tensor& tokens, const Tensor& targets) {
  const Held& held = held_of(micro_batch);
  if (is_first_) {
    embed(held, tokens);
  }
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    states_.enter(unit_of(layer));
    layers_[layer].forward(held.streams[layer + 1], held.streams[layer], kept_of(held, layer),
                           scratch_);
  }
  if (is_last_) {
    states_.enter(unit_of(layers_.size()));
    head_forward(held, targets);
  }
}

void Stage::backward(std::size_t micro_batch, const Tensor& tokens, const Tensor& targets,
                     float scale, bool is_last_micro_batch) {
  const Held& held = held_of(micro_batch);
  const Tensor& stream = gradient(micro_batch);
  if (is_last_) {
    const std::size_t unit = unit_of(layers_.size());
    states_.enter(unit);
    states_.enter_backward(unit);
    head_backward(held, stream, targets, scale);
    states_.gradients_ready(unit, is_last_micro_batch);
  }
  for (std::size_t layer = layers_.size(); layer-- > 0;) {
    layer_backward(layer, held, stream, is_last_micro_batch);
  }
  if (is_first_) {
    embedding_backward(stream, tokens, is_last_micro_batch);
  }
}

void Stage::layer_backward(std::size_t layer, const Held& held, const Tensor& gradient,
                           bool is_last_micro_batch) {
  const std::size_t unit = unit_of(layer);
  states_.enter(unit);
  states_.enter_backward(unit);
  const LayerActivations& kept = kept_of(held, layer);
  if (is_recomputed_) {
    layers_[layer].forward(again_out_, held.streams[layer], kept, scratch_);
  }
  layers_[layer].backward(gradient, held.streams[layer], kept, scratch_);
  states_.gradients_ready(unit, is_last_micro_batch);
}

void Stage::embed(const Held& held, const Tensor& tokens) {
  states_.enter(0);
  timed(device_, "token_lookup")
      ->embedding(held.streams.front(), tokens, states_.parameter(0, embedding_part::table),
                  first_row_, shape_.hidden);
  tensor_.reduce(held.streams.front());
  timed(device_, "position_add")
      ->add_positions(held.streams.front(), states_.parameter(0, embedding_part::positions),
                      shape_.attention.sequence, shape_.hidden);
}

void Stage::embedding_backward(const Tensor& gradient, const Tensor& tokens,
                               bool is_last_micro_batch) {
  states_.enter_backward(0);
  timed(device_, "token_gradient")
      ->embedding_gradient(states_.gradient(0, embedding_part::table), gradient, tokens, first_row_,
                           shape_.hidden);
  timed(device_, "position_gradient")
      ->positions_gradient(states_.gradient(0, embedding_part::positions), gradient,
                           shape_.attention.sequence, shape_.hidden);
  states_.gradients_ready(0, is_last_micro_batch);
}

void Stage::head_forward(const Held& held, const Tensor& targets) {
  const std::size_t unit = unit_of(layers_.size());
  timed(device_, "final_norm")
      ->layer_norm(held.norm, held.statistics, held.streams.back(),
                   states_.parameter(unit, head_part::norm),
                   states_.parameter(unit, head_part::norm_bias), shape_.hidden);
  timed(device_, "lm_head")
      ->linear(kCompute, held.logits, held.norm, states_.parameter(unit, head_part::table), {},
               rows_, shape_.hidden);
  timed(device_, "cross_entropy")->row_maximum(held.row_max, held.logits, rows_);
  tensor_.reduce(held.row_max, Reduction::maximum);
  timed(device_, "cross_entropy")
      ->softmax_sums(held.sums, held.logits, held.row_max, targets, first_row_, rows_);
  tensor_.reduce(held.sums);
}

void Stage::head_backward(const Held& held, const Tensor& gradient, const Tensor& targets,
                          float scale) {
  const std::size_t unit = unit_of(layers_.size());
  timed(device_, "cross_entropy_gradient")
      ->cross_entropy_gradient(own_losses_, held.logits, held.row_max, held.sums, targets,
                               first_row_, rows_, scale);
  device_.accumulate(kCompute, losses_, own_losses_, 1);
  timed(device_, "lm_head_input_gradient")
      ->linear_input_gradient(kCompute, head_gradient_, held.logits,
                              states_.parameter(unit, head_part::table), rows_, shape_.hidden);
  tensor_.start_sum(head_gradient_);
  timed(device_, "lm_head_weight_gradient")
      ->linear_weight_gradient(kCompute, states_.gradient(unit, head_part::table), held.logits,
                               held.norm, rows_, shape_.hidden, true);
  tensor_.finish_sum();
  device_.clear(kCompute, gradient);
  timed(device_, "final_norm_gradient")
      ->layer_norm_gradient(gradient, states_.gradient(unit, head_part::norm),
                            states_.gradient(unit, head_part::norm_bias), head_gradient_,
                            held.streams.back(), states_.parameter(unit, head_part::norm),
                            held.statistics, shape_.hidden);
}

}  // namespace foretrain::trainer
