// Attention: the QKV projection splits heads over the tensor-parallel ranks (column-parallel), the
// output projection sums their results (row-parallel). Shoeybi et al. 2019, section 3.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

// One fused kernel reads and writes the rotated part of queries and keys. Unfused, in eager mode:
// negate one half (1), concatenate (2), two products (4), one sum (3) = 10 passes of e.
Step rotary_step(std::string_view name, const Model& model, const Shard& shard) {
  const bool is_fused = shard.kernels.fused_rotary;
  const double rotated = model.rotary_fraction * inside(shard, (model.heads + model.kv_heads) /
                                                                   shard.tensor * model.head_dim);
  return is_fused ? row_step(name, MemoryOp::rotary, 2, rotated, shard.tokens(), shard)
                  : memory_step(name, MemoryOp::streaming, 10 * activation_bytes(shard) * rotated);
}

Linear qkv_of(const Model& model, const Shard& shard) {
  Linear linear;
  linear.names = {"qkv", "qkv_input_gradient", "qkv_weight_gradient", "qkv_bias_gradient"};
  linear.dtype = shard.dtype;
  linear.rows = shard.tokens();
  linear.outputs = (model.heads + 2 * model.kv_heads) / shard.tensor * model.head_dim;
  linear.inputs = model.hidden;
  linear.has_bias = model.qkv_bias;
  return linear;
}

// The bias is added once, after the sum over ranks: it belongs to the residual.
Linear projection_of(const Model& model, const Shard& shard) {
  Linear linear;
  linear.names = {"projection", "projection_input_gradient", "projection_weight_gradient", ""};
  linear.dtype = shard.dtype;
  linear.rows = shard.tokens();
  linear.outputs = model.hidden;
  linear.inputs = model.heads / shard.tensor * model.head_dim;
  return linear;
}

// Korthikanti et al. 2022, section 4.1: the shared input of Q, K and V 2 s b h; Q and K 4 s b h and
// V 2 s b h, rotated where they are; the input of the projection 2 s b h. With sequence parallelism
// the shared input is kept as 1/t of the tokens and gathered again (section 4.2.2).
std::vector<SavedTensor> saved_outside_core(const Model& model, const Shard& shard) {
  const double e = activation_bytes(shard);
  const std::int64_t heads = model.heads / shard.tensor * model.head_dim;
  const std::int64_t kv_heads = model.kv_heads / shard.tensor * model.head_dim;
  return {saved("qkv_input", linear_input_bytes(shard) * outside(shard, model.hidden)),
          saved("queries", e * inside(shard, heads)), saved("keys", e * inside(shard, kv_heads)),
          saved("values", e * inside(shard, kv_heads)),
          saved("projection_input", linear_input_bytes(shard) * inside(shard, heads))};
}

}  // namespace

Branch attention_branch(const Model& model, const Shard& shard) {
  const Linear qkv = qkv_of(model, shard);
  const Linear projection = projection_of(model, shard);
  const Work core = attention_core(model, shard);
  const bool is_rotary = model.position == PositionKind::rotary;
  Branch branch;
  branch.norm = norm_work(model, shard,
                          {"attention_norm", "attention_norm_gradient", "attention_norm_input"});
  Work& inside = branch.inside;
  inside.parameters = qkv.parameters() + projection.parameters();
  append_forward(inside.forward, qkv);
  if (is_rotary) {
    inside.forward.push_back(rotary_step("rotary", model, shard));
  }
  append(inside.forward, core.forward);
  append_forward(inside.forward, projection);

  append_input_gradient(inside.backward, projection);
  append_weight_gradient(inside.backward, projection, shard);
  append(inside.backward, core.backward);
  if (is_rotary) {
    inside.backward.push_back(rotary_step("rotary_gradient", model, shard));
  }
  append_bias_gradient(inside.backward, qkv, shard);
  append_input_gradient(branch.input_gradients, qkv);
  append_weight_gradient(branch.weight_gradients, qkv, shard);

  inside.saved = saved_outside_core(model, shard);
  inside.saved.insert(inside.saved.end(), core.saved.begin(), core.saved.end());
  branch.has_output_bias = model.attention_output_bias;
  branch.residual =
      residual_work(model, shard, branch.has_output_bias,
                    {"attention_dropout_add", "attention_output_bias", "attention_output_dropout",
                     "attention_add", "attention_output_dropout_gradient",
                     "attention_output_bias_gradient", "attention_output_dropout_mask"});
  return branch;
}

}  // namespace foretrain::blocks
