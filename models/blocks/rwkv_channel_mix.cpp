// RWKV's channel mixing: Peng et al. 2024, section 4.1, equations 11 to 13. Two mixtures of each
// token with the one before it; keys of `ffn` numbers, squared ReLU, values; and a gate of h
// numbers through a square matrix.
//
// With tensor parallelism every rank computes the whole gate, which multiplies its part of the
// values before they are summed (assumed: no published software splits this block).
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

Branch branch_of(const Model& model, const Shard& shard) {
  const std::int64_t ffn = model.ffn / shard.tensor;
  const double e = activation_bytes(shard);
  const double elements = inside(shard, model.hidden);
  const Linear up = linear_layer({"mlp_up", "mlp_up_input_gradient", "mlp_up_weight_gradient", ""},
                                 shard, ffn, model.hidden);
  const Linear down =
      linear_layer({"mlp_down", "mlp_down_input_gradient", "mlp_down_weight_gradient", ""}, shard,
                   model.hidden, ffn);
  const Linear gate =
      linear_layer({"mlp_gate", "mlp_gate_input_gradient", "mlp_gate_weight_gradient", ""}, shard,
                   model.hidden, model.hidden);
  Branch branch;
  branch.norm = norm_work(model, shard, {"mlp_norm", "mlp_norm_gradient", "mlp_norm_input"});
  Work& inner = branch.inside;
  inner.parameters = up.parameters() + down.parameters() + gate.parameters() + 2 * model.hidden;
  // Reads a token (the one before it is in cache), writes two mixtures.
  inner.forward = {memory_step("token_shift", MemoryOp::streaming, 3 * e * elements)};
  append_forward(inner.forward, up);
  inner.forward.push_back(
      memory_step("activation", MemoryOp::streaming, 2 * e * inside(shard, ffn)));
  append_forward(inner.forward, down);
  append_forward(inner.forward, gate);
  inner.forward.push_back(memory_step("gate_product", MemoryOp::streaming, 3 * e * elements));

  inner.backward = {memory_step("gate_product_gradient", MemoryOp::streaming, 5 * e * elements)};
  append_input_gradient(inner.backward, down);
  append_weight_gradient(inner.backward, down, shard);
  inner.backward.push_back(
      memory_step("activation_gradient", MemoryOp::streaming, 3 * e * inside(shard, ffn)));
  append_input_gradient(branch.input_gradients, gate);
  append_input_gradient(branch.input_gradients, up);
  branch.input_gradients.push_back(
      memory_step("token_shift_gradient", MemoryOp::streaming, 3 * e * elements));
  append_weight_gradient(branch.weight_gradients, gate, shard);
  append_weight_gradient(branch.weight_gradients, up, shard);

  const double mixtures = linear_input_bytes(shard) * elements;
  inner.saved = {saved("mlp_input", e * outside(shard, model.hidden)),
                 saved("mlp_mixtures", 2 * mixtures),
                 saved("activation_input", e * inside(shard, ffn)),
                 saved("mlp_down_input", linear_input_bytes(shard) * inside(shard, ffn)),
                 saved("gate_and_values", 2 * e * elements)};
  branch.residual = feed_forward_residual(model, shard, false);
  return branch;
}

BlockCount count(const Model& model, std::int64_t) {
  const std::int64_t weights = model.hidden * (2 * model.ffn + model.hidden);
  const std::int64_t parameters = weights + 2 * model.hidden;
  return {parameters, parameters, static_cast<double>(weights), 0};
}

}  // namespace

BlockFunctions rwkv_channel_mix() { return {branch_of, count, {}, nullptr, false}; }

}  // namespace foretrain::blocks
