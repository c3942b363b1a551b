// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/layer.hpp"

namespace foretrain::trainer {

namespace part = layer_part;

LayerShape layer_shape(const Plan& plan) {
  LayerShape shape;
  shape.attention = {plan.training.micro_batch, plan.model.heads / plan.parallel.tensor,
                     plan.training.sequence_length, plan.model.head_dim};
  shape.hidden = plan.model.hidden;
  shape.ffn = plan.model.ffn / plan.parallel.tensor;
  return shape;
}

LayerActivations layer_activations(Device& device, const LayerShape& shape) {
  const std::int64_t n = shape.tokens();
  const auto tensor = [&](std::int64_t columns) {
    return device.allocate(n * columns, device.activation_type(), MemoryClass::activations);
  };
  const auto statistics = [&] {
    return device.allocate(2 * n, Type::fp32, MemoryClass::activations);
  };
  LayerActivations kept;
  kept.norm1 = tensor(shape.hidden);
  kept.statistics1 = statistics();
  kept.qkv = tensor(3 * shape.heads_width());
  kept.saved = device.allocate(device.attention_saved_count(shape.attention),
                               device.attention_saved_type(), MemoryClass::activations);
  kept.attended = tensor(shape.heads_width());
  kept.middle = tensor(shape.hidden);
  kept.norm2 = tensor(shape.hidden);
  kept.statistics2 = statistics();
  kept.up = tensor(shape.ffn);
  kept.activated = tensor(shape.ffn);
  return kept;
}

LayerScratch layer_scratch(Device& device, const LayerShape& shape) {
  const auto tensor = [&](std::int64_t columns) {
    return device.allocate(shape.tokens() * columns, device.activation_type(),
                           MemoryClass::buffers);
  };
  return {tensor(shape.hidden), tensor(shape.heads_width()), tensor(3 * shape.heads_width()),
          tensor(shape.ffn)};
}

void Layer::forward(const Tensor& out, const Tensor& in, const LayerActivations& kept,
                    const LayerScratch& scratch) {
  const std::int64_t width = shape_.heads_width();
  timed(device_, "attention_norm")
      ->layer_norm(kept.norm1, kept.statistics1, in, weight(part::norm1), weight(part::norm1_bias),
                   shape_.hidden);
  timed(device_, "qkv")
      ->linear(kCompute, kept.qkv, kept.norm1, weight(part::qkv), weight(part::qkv_bias), 3 * width,
               shape_.hidden);
  timed(device_, "attention")->attention(kept.attended, kept.saved, kept.qkv, shape_.attention);
  timed(device_, "projection")
      ->linear(kCompute, scratch.branch, kept.attended, weight(part::projection), {}, shape_.hidden,
               width);
  tensor_.reduce(scratch.branch);
  // The bias comes once, after the sum over ranks.
  timed(device_, "attention_add")
      ->add(kept.middle, in, scratch.branch, weight(part::projection_bias), shape_.hidden);

  timed(device_, "mlp_norm")
      ->layer_norm(kept.norm2, kept.statistics2, kept.middle, weight(part::norm2),
                   weight(part::norm2_bias), shape_.hidden);
  timed(device_, "mlp_up")
      ->linear(kCompute, kept.up, kept.norm2, weight(part::up), weight(part::up_bias), shape_.ffn,
               shape_.hidden);
  timed(device_, "activation")->gelu(kept.activated, kept.up);
  timed(device_, "mlp_down")
      ->linear(kCompute, scratch.branch, kept.activated, weight(part::down), {}, shape_.hidden,
               shape_.ffn);
  tensor_.reduce(scratch.branch);
  timed(device_, "mlp_add")
      ->add(out, kept.middle, scratch.branch, weight(part::down_bias), shape_.hidden);
}

void Layer::backward(const Tensor& gradient, const Tensor& in, const LayerActivations& kept,
                     const LayerScratch& scratch) {
  mlp_backward(gradient, kept, scratch);
  attention_backward(gradient, in, kept, scratch);
}

// What enters the matrices that are split by rows gets a part of its gradient from every rank:
// their sum may travel while weight gradients, which do not need it, are computed.
void Layer::mlp_backward(const Tensor& gradient, const LayerActivations& kept,
                         const LayerScratch& scratch) {
  timed(device_, "mlp_output_bias_gradient")
      ->bias_gradient(gradient_of(part::down_bias), gradient, shape_.hidden);
  timed(device_, "mlp_down_input_gradient")
      ->linear_input_gradient(kCompute, scratch.inner, gradient, weight(part::down), shape_.hidden,
                              shape_.ffn);
  timed(device_, "mlp_down_weight_gradient")
      ->linear_weight_gradient(kCompute, gradient_of(part::down), gradient, kept.activated,
                               shape_.hidden, shape_.ffn, true);
  timed(device_, "activation_gradient")->gelu_gradient(scratch.inner, kept.up);
  timed(device_, "mlp_up_bias_gradient")
      ->bias_gradient(gradient_of(part::up_bias), scratch.inner, shape_.ffn);
  timed(device_, "mlp_up_input_gradient")
      ->linear_input_gradient(kCompute, scratch.branch, scratch.inner, weight(part::up), shape_.ffn,
                              shape_.hidden);
  tensor_.start_sum(scratch.branch);
  timed(device_, "mlp_up_weight_gradient")
      ->linear_weight_gradient(kCompute, gradient_of(part::up), scratch.inner, kept.norm2,
                               shape_.ffn, shape_.hidden, true);
  tensor_.finish_sum();
  timed(device_, "mlp_norm_gradient")
      ->layer_norm_gradient(gradient, gradient_of(part::norm2), gradient_of(part::norm2_bias),
                            scratch.branch, kept.middle, weight(part::norm2), kept.statistics2,
                            shape_.hidden);
}

void Layer::attention_backward(const Tensor& gradient, const Tensor& in,
                               const LayerActivations& kept, const LayerScratch& scratch) {
  const std::int64_t width = shape_.heads_width();
  timed(device_, "attention_output_bias_gradient")
      ->bias_gradient(gradient_of(part::projection_bias), gradient, shape_.hidden);
  timed(device_, "projection_input_gradient")
      ->linear_input_gradient(kCompute, scratch.attended, gradient, weight(part::projection),
                              shape_.hidden, width);
  timed(device_, "projection_weight_gradient")
      ->linear_weight_gradient(kCompute, gradient_of(part::projection), gradient, kept.attended,
                               shape_.hidden, width, true);
  timed(device_, "attention_gradient")
      ->attention_gradient(scratch.qkv, scratch.attended, kept.attended, kept.saved, kept.qkv,
                           shape_.attention);
  timed(device_, "qkv_bias_gradient")
      ->bias_gradient(gradient_of(part::qkv_bias), scratch.qkv, 3 * width);
  timed(device_, "qkv_input_gradient")
      ->linear_input_gradient(kCompute, scratch.branch, scratch.qkv, weight(part::qkv), 3 * width,
                              shape_.hidden);
  tensor_.start_sum(scratch.branch);
  timed(device_, "qkv_weight_gradient")
      ->linear_weight_gradient(kCompute, gradient_of(part::qkv), scratch.qkv, kept.norm1, 3 * width,
                               shape_.hidden, true);
  tensor_.finish_sum();
  timed(device_, "attention_norm_gradient")
      ->layer_norm_gradient(gradient, gradient_of(part::norm1), gradient_of(part::norm1_bias),
                            scratch.branch, in, weight(part::norm1), kept.statistics1,
                            shape_.hidden);
}

}  // namespace foretrain::trainer
