// Attention: the QKV projection splits heads over the tensor-parallel ranks (column-parallel), the
// output projection sums their results (row-parallel). Shoeybi et al. 2019, section 3.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

// One fused kernel reads and writes the rotated part of queries and keys. Unfused, in eager mode:
// negate one half (1), concatenate (2), two products (4), one sum (3) = 10 passes of e.
Step rotary_step(std::string_view name, const Model& model, const Shard& shard) {
  const bool is_fused = shard.kernels.fused_rotary;
  const std::int64_t heads = model.heads / shard.tensor + kv_heads_of(model, shard);
  const double rotated = model.rotary_fraction * inside(shard, heads * model.head_dim);
  return is_fused ? row_step(name, MemoryOp::rotary, 2, rotated, shard.tokens(), shard)
                  : memory_step(name, MemoryOp::streaming, 10 * activation_bytes(shard) * rotated);
}

Linear qkv_of(const Model& model, const Shard& shard) {
  const std::int64_t heads = model.heads / shard.tensor + 2 * kv_heads_of(model, shard);
  Linear qkv =
      linear_layer({"qkv", "qkv_input_gradient", "qkv_weight_gradient", "qkv_bias_gradient"}, shard,
                   heads * model.head_dim, model.hidden);
  qkv.has_bias = model.qkv_bias;
  return qkv;
}

// The bias is added once, after the sum over ranks: it belongs to the residual.
Linear projection_of(const Model& model, const Shard& shard) {
  return linear_layer({"projection", "projection_input_gradient", "projection_weight_gradient", ""},
                      shard, model.hidden, model.heads / shard.tensor * model.head_dim);
}

// Korthikanti et al. 2022, section 4.1: the shared input of Q, K and V 2 s b h; Q and K 4 s b h and
// V 2 s b h, rotated where they are; the input of the projection 2 s b h. With sequence parallelism
// the shared input is kept as 1/t of the tokens and gathered again (section 4.2.2).
std::vector<SavedTensor> saved_outside_core(const Model& model, const Shard& shard) {
  const double e = activation_bytes(shard);
  const std::int64_t heads = model.heads / shard.tensor * model.head_dim;
  const std::int64_t kv_heads = kv_heads_of(model, shard) * model.head_dim;
  return {saved("qkv_input", linear_input_bytes(shard) * outside(shard, model.hidden)),
          saved("queries", e * inside(shard, heads)), saved("keys", e * inside(shard, kv_heads)),
          saved("values", e * inside(shard, kv_heads)),
          saved("projection_input", linear_input_bytes(shard) * inside(shard, heads))};
}

// Qwen3's report, section 2: a norm over each head of queries and keys before they are rotated. Its
// input is the queries and keys as projected, kept beside the rotated ones.
Work head_norm(const Model& model, const Shard& shard) {
  const NormNames names{"query_key_norm", "query_key_norm_gradient", "query_key_norm_input"};
  Work work = inner_norm_work(model, shard, model.head_dim,
                              model.heads / shard.tensor + kv_heads_of(model, shard), names);
  work.parameters *= 2;  // queries and keys have weights of their own
  return work;
}

Branch branch_of(const Model& model, const Shard& shard) {
  const Linear qkv = qkv_of(model, shard);
  const Linear projection = projection_of(model, shard);
  const Work core = attention_core(
      model, shard,
      {model.heads / shard.tensor, kv_heads_of(model, shard), model.head_dim, model.head_dim});
  const Work qk_norm = model.qk_norm ? head_norm(model, shard) : Work{};
  const bool is_rotary = model.position == PositionKind::rotary;
  Branch branch;
  branch.norm = norm_work(model, shard,
                          {"attention_norm", "attention_norm_gradient", "attention_norm_input"});
  Work& inside = branch.inside;
  inside.parameters = qkv.parameters() + qk_norm.parameters + projection.parameters();
  append_forward(inside.forward, qkv);
  append(inside.forward, qk_norm.forward);
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
  append(inside.backward, qk_norm.backward);
  append_bias_gradient(inside.backward, qkv, shard);
  append_input_gradient(branch.input_gradients, qkv);
  append_weight_gradient(branch.weight_gradients, qkv, shard);

  inside.saved = saved_outside_core(model, shard);
  append(inside.saved, qk_norm.saved);
  append(inside.saved, core.saved);
  branch.has_output_bias = model.attention_output_bias;
  branch.residual = mixer_residual(model, shard, branch.has_output_bias);
  return branch;
}

BlockCount count(const Model& model, std::int64_t sequence_length) {
  const std::int64_t qkv = (model.heads + 2 * model.kv_heads) * model.head_dim;
  const std::int64_t inner = model.heads * model.head_dim;
  const std::int64_t weights = model.hidden * (qkv + inner);
  const std::int64_t norms =
      model.qk_norm ? 2 * model.head_dim * (model.norm == NormKind::layer_norm ? 2 : 1) : 0;
  const std::int64_t window = model.sliding_window;
  const std::int64_t seen = window > 0 ? std::min(window, sequence_length) : sequence_length;
  BlockCount count;
  count.parameters = weights + (model.qkv_bias ? qkv : 0) +
                     (model.attention_output_bias ? model.hidden : 0) + norms;
  count.visited = count.parameters;
  count.products = static_cast<double>(weights);
  count.core = 2.0 * static_cast<double>(seen) * static_cast<double>(inner);
  return count;
}

}  // namespace

std::int64_t kv_heads_of(const Model& model, const Shard& shard) {
  return std::max<std::int64_t>(1, model.kv_heads / shard.tensor);
}

BlockFunctions attention() { return {branch_of, count, {}, nullptr, false}; }

}  // namespace foretrain::blocks
