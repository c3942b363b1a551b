// The MLP: up (and gate) column-parallel, down row-parallel, an activation between them.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"
#include "models/count.hpp"

namespace foretrain::blocks {
namespace {

// Per element of the inner width. Plain: the activation reads one and writes one; without fusion a
// bias is a pass of its own. Its gradient reads input and gradient and writes one.
Work plain_activation(const Model& model, const Shard& shard, double elements) {
  const double e = activation_bytes(shard);
  Work work;
  if (model.mlp_bias && !shard.kernels.fused_activation) {
    work.forward.push_back(memory_step("mlp_bias", MemoryOp::streaming, 2 * e * elements));
  }
  work.forward.push_back(memory_step("activation", MemoryOp::streaming, 2 * e * elements));
  work.backward.push_back(
      memory_step("activation_gradient", MemoryOp::streaming, 3 * e * elements));
  work.saved = {saved("activation_input", e * elements)};
  return work;
}

// Gated: reads gate and up, writes one; the gradient reads these two and its own, writes two. As
// separate kernels: silu (2) and product (3); backward two products (6) and silu (3), and silu's
// output is kept as well.
Work gated_activation(const Model& model, const Shard& shard, double elements) {
  const double e = activation_bytes(shard);
  Work work;
  work.saved = {saved("gate_and_up", 2 * e * elements)};
  if (shard.kernels.fused_activation) {
    work.forward = {memory_step("gated_activation", MemoryOp::streaming, 3 * e * elements)};
    work.backward = {
        memory_step("gated_activation_gradient", MemoryOp::streaming, 5 * e * elements)};
    return work;
  }
  if (model.mlp_bias) {
    work.forward.push_back(memory_step("mlp_bias", MemoryOp::streaming, 4 * e * elements));
  }
  work.forward.push_back(memory_step("activation", MemoryOp::streaming, 2 * e * elements));
  work.forward.push_back(memory_step("gate_product", MemoryOp::streaming, 3 * e * elements));
  work.backward = {memory_step("gate_product_gradient", MemoryOp::streaming, 6 * e * elements),
                   memory_step("activation_gradient", MemoryOp::streaming, 3 * e * elements)};
  work.saved.push_back(saved("activation_output", e * elements));
  return work;
}

Branch branch_of(const Model& model, const Shard& shard) {
  const std::int64_t ffn = model.ffn / shard.tensor;
  const std::int64_t into = model.mlp == MlpKind::gated ? 2 * ffn : ffn;
  Linear up = linear_layer(
      {"mlp_up", "mlp_up_input_gradient", "mlp_up_weight_gradient", "mlp_up_bias_gradient"}, shard,
      into, model.hidden);
  up.has_bias = model.mlp_bias;
  const Linear down =
      linear_layer({"mlp_down", "mlp_down_input_gradient", "mlp_down_weight_gradient", ""}, shard,
                   model.hidden, ffn);
  const Work activation = activation_work(model, shard, inside(shard, ffn));
  Branch branch;
  branch.norm = norm_work(model, shard, {"mlp_norm", "mlp_norm_gradient", "mlp_norm_input"});
  Work& inner = branch.inside;
  inner.parameters = up.parameters() + down.parameters();
  append_forward(inner.forward, up);
  append(inner.forward, activation.forward);
  append_forward(inner.forward, down);

  append_input_gradient(inner.backward, down);
  append_weight_gradient(inner.backward, down, shard);
  append(inner.backward, activation.backward);
  append_bias_gradient(inner.backward, up, shard);
  append_input_gradient(branch.input_gradients, up);
  append_weight_gradient(branch.weight_gradients, up, shard);

  // Korthikanti et al. 2022, section 4.1, with f = 4 h: 2 s b h, 8 s b h, 8 s b h, and the mask.
  inner.saved = {saved("mlp_input", linear_input_bytes(shard) * outside(shard, model.hidden))};
  inner.saved.insert(inner.saved.end(), activation.saved.begin(), activation.saved.end());
  inner.saved.push_back(saved("mlp_down_input", linear_input_bytes(shard) * inside(shard, ffn)));
  branch.has_output_bias = model.mlp_bias;
  branch.residual = feed_forward_residual(model, shard, branch.has_output_bias);
  return branch;
}

BlockCount count(const Model& model, std::int64_t) {
  const auto parameters = count_mlp<std::int64_t>(model);
  const double matrices = model.mlp == MlpKind::gated ? 3.0 : 2.0;
  return {parameters, parameters,
          matrices * static_cast<double>(model.hidden) * static_cast<double>(model.ffn), 0};
}

}  // namespace

Work activation_work(const Model& model, const Shard& shard, double elements) {
  return model.mlp == MlpKind::gated ? gated_activation(model, shard, elements)
                                     : plain_activation(model, shard, elements);
}

BlockFunctions mlp() { return {branch_of, count, {}, nullptr, false}; }

}  // namespace foretrain::blocks
