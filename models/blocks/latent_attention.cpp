// Multi-head latent attention: queries, and keys with values, go through low ranks; a part of each
// query and one key for all heads carry the rotation. DeepSeek-V2's report, section 2.1, equations
// 37 to 47; without compression of queries as in its appendix for V2-Lite.
//
// n = width of a head without the rotated part (head_dim), r = rotated part, v = width of a value.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"
#include "models/check_shape.hpp"

namespace foretrain::blocks {
namespace {

constexpr std::array<SizeKey, 4> kSizes{{{"query_rank", {0, kHidden.most}, 0},
                                         {"kv_rank", kHidden, std::nullopt},
                                         {"rope_head_dim", kHeadDim, std::nullopt},
                                         {"value_head_dim", kHeadDim, std::nullopt}}};

struct Sizes {
  std::int64_t query_rank;  ///< 0: queries are projected at once
  std::int64_t kv_rank;
  std::int64_t rope;
  std::int64_t value;
  std::int64_t key;  ///< n + r

  explicit Sizes(const Model& model)
      : query_rank(model.mixer.sizes.at(0)),
        kv_rank(model.mixer.sizes.at(1)),
        rope(model.mixer.sizes.at(2)),
        value(model.mixer.sizes.at(3)),
        key(model.head_dim + rope) {}
};

// The projections down are small, and every tensor-parallel rank computes them whole, as
// Megatron-Core does by default. The region is counted as entered before them, with h numbers per
// token, where Megatron-Core enters after them with fewer (assumed; DeepSeek trains with t = 1).
struct Layers {
  Linear query_down;  ///< to be left out where query_rank is 0
  Linear query_up;
  Linear kv_down;
  Linear kv_up;
  Linear projection;

  Layers(const Model& model, const Shard& shard, const Sizes& sizes)
      : query_down(linear_layer(
            {"query_down", "query_down_input_gradient", "query_down_weight_gradient", ""}, shard,
            sizes.query_rank, model.hidden)),
        query_up(
            linear_layer({"query_up", "query_up_input_gradient", "query_up_weight_gradient", ""},
                         shard, model.heads / shard.tensor * sizes.key,
                         sizes.query_rank > 0 ? sizes.query_rank : model.hidden)),
        kv_down(linear_layer({"key_value_down", "key_value_down_input_gradient",
                              "key_value_down_weight_gradient", ""},
                             shard, sizes.kv_rank + sizes.rope, model.hidden)),
        kv_up(linear_layer(
            {"key_value_up", "key_value_up_input_gradient", "key_value_up_weight_gradient", ""},
            shard, model.heads / shard.tensor * (model.head_dim + sizes.value), sizes.kv_rank)),
        projection(linear_layer(
            {"projection", "projection_input_gradient", "projection_weight_gradient", ""}, shard,
            model.hidden, model.heads / shard.tensor * sizes.value)) {}
};

// Rotates r numbers of every query head and of the one key; then every head gets its n numbers and
// a copy of that key side by side.
Work key_work(const Model& model, const Shard& shard, const Sizes& sizes) {
  const std::int64_t heads = model.heads / shard.tensor;
  const double keys = 2 * activation_bytes(shard) * inside(shard, heads * sizes.key);
  const double rotated = inside(shard, (heads + 1) * sizes.rope);
  const auto rotation = [&](std::string_view name) {
    return shard.kernels.fused_rotary
               ? row_step(name, MemoryOp::rotary, 2, rotated, shard.tokens(), shard)
               : memory_step(name, MemoryOp::streaming, 10 * activation_bytes(shard) * rotated);
  };
  Work work;
  work.forward = {rotation("rotary"), memory_step("key_concatenation", MemoryOp::streaming, keys)};
  work.backward = {memory_step("key_concatenation_gradient", MemoryOp::streaming, keys),
                   rotation("rotary_gradient")};
  return work;
}

// From the branch's input to what the core reads, with gradients up to the entering layers.
Work query_key_value_work(const Model& model, const Shard& shard, const Sizes& sizes,
                          const Layers& layers) {
  Work work;
  if (sizes.query_rank > 0) {
    append_forward(work.forward, layers.query_down);
    follow(work, inner_norm_work(model, shard, sizes.query_rank, 1,
                                 {"query_norm", "query_norm_gradient", "query_norm_input"}));
    Work up;
    append_forward(up.forward, layers.query_up);
    append_input_gradient(up.backward, layers.query_up);
    append_weight_gradient(up.backward, layers.query_up, shard);
    up.saved = {
        saved("query_up_input", linear_input_bytes(shard) * inside(shard, sizes.query_rank))};
    follow(work, up);
  } else {
    append_forward(work.forward, layers.query_up);
  }
  append_forward(work.forward, layers.kv_down);
  follow(work,
         inner_norm_work(model, shard, sizes.kv_rank, 1,
                         {"key_value_norm", "key_value_norm_gradient", "key_value_norm_input"}));
  Work up;
  append_forward(up.forward, layers.kv_up);
  append_input_gradient(up.backward, layers.kv_up);
  append_weight_gradient(up.backward, layers.kv_up, shard);
  up.saved = {
      saved("key_value_up_input", linear_input_bytes(shard) * inside(shard, sizes.kv_rank))};
  follow(work, up);
  follow(work, key_work(model, shard, sizes));
  return work;
}

void append_entering(Branch& branch, const Model& model, const Shard& shard, const Sizes& sizes,
                     const Layers& layers) {
  const Linear& queries = sizes.query_rank > 0 ? layers.query_down : layers.query_up;
  append_input_gradient(branch.input_gradients, layers.kv_down);
  append_input_gradient(branch.input_gradients, queries);
  branch.input_gradients.push_back(
      memory_step("query_key_gradient_add", MemoryOp::streaming,
                  3 * activation_bytes(shard) * inside(shard, model.hidden)));
  append_weight_gradient(branch.weight_gradients, layers.kv_down, shard);
  append_weight_gradient(branch.weight_gradients, queries, shard);
}

Branch branch_of(const Model& model, const Shard& shard) {
  const Sizes sizes(model);
  const Layers layers(model, shard, sizes);
  const std::int64_t heads = model.heads / shard.tensor;
  const double e = activation_bytes(shard);
  const Work core = attention_core(model, shard, {heads, heads, sizes.key, sizes.value});
  const Work inner = query_key_value_work(model, shard, sizes, layers);
  Branch branch;
  branch.norm = norm_work(model, shard,
                          {"attention_norm", "attention_norm_gradient", "attention_norm_input"});
  Work& inside_region = branch.inside;
  inside_region.parameters = inner.parameters + layers.query_up.parameters() +
                             layers.kv_down.parameters() + layers.kv_up.parameters() +
                             layers.projection.parameters() +
                             (sizes.query_rank > 0 ? layers.query_down.parameters() : 0);
  append(inside_region.forward, inner.forward);
  append(inside_region.forward, core.forward);
  append_forward(inside_region.forward, layers.projection);

  append_input_gradient(inside_region.backward, layers.projection);
  append_weight_gradient(inside_region.backward, layers.projection, shard);
  append(inside_region.backward, core.backward);
  append(inside_region.backward, inner.backward);
  append_entering(branch, model, shard, sizes, layers);

  const double values = inside(shard, heads * sizes.value);
  inside_region.saved = {
      saved("qkv_input", linear_input_bytes(shard) * outside(shard, model.hidden)),
      saved("queries", e * inside(shard, heads * sizes.key)),
      saved("keys", e * inside(shard, heads * sizes.key)), saved("values", e * values),
      saved("projection_input", linear_input_bytes(shard) * values)};
  append(inside_region.saved, inner.saved);
  append(inside_region.saved, core.saved);
  branch.residual = mixer_residual(model, shard, false);
  return branch;
}

BlockCount count(const Model& model, std::int64_t sequence_length) {
  const Sizes sizes(model);
  const std::int64_t queries = sizes.query_rank > 0
                                   ? sizes.query_rank * (model.hidden + model.heads * sizes.key)
                                   : model.hidden * model.heads * sizes.key;
  const std::int64_t keys_and_values = model.hidden * (sizes.kv_rank + sizes.rope) +
                                       sizes.kv_rank * model.heads * (model.head_dim + sizes.value);
  const std::int64_t weights = queries + keys_and_values + model.heads * sizes.value * model.hidden;
  const std::int64_t norm = model.norm == NormKind::layer_norm ? 2 : 1;
  BlockCount count;
  count.parameters = count.visited = weights + norm * (sizes.query_rank + sizes.kv_rank);
  count.products = static_cast<double>(weights);
  count.core = static_cast<double>(sequence_length) * static_cast<double>(model.heads) *
               static_cast<double>(sizes.key + sizes.value);
  return count;
}

}  // namespace

BlockFunctions latent_attention() { return {branch_of, count, kSizes, nullptr, false}; }

}  // namespace foretrain::blocks
