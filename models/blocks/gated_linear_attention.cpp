// Gated linear attention: Yang et al. 2024, section 4.4. Queries and keys of `key_dim` numbers for
// all heads together, values and an output gate of `value_dim`, a decay for each channel of the
// keys through `decay_rank`, a norm over each head of the output.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"
#include "models/check_shape.hpp"

namespace foretrain::blocks {
namespace {

constexpr std::array<SizeKey, 3> kSizes{{{"key_dim", kHidden, std::nullopt},
                                         {"value_dim", kHidden, std::nullopt},
                                         {"decay_rank", kHidden, 16}}};

struct Sizes {
  std::int64_t key;  ///< of all heads
  std::int64_t value;
  std::int64_t decay_rank;

  explicit Sizes(const Model& model)
      : key(model.mixer.sizes.at(0)),
        value(model.mixer.sizes.at(1)),
        decay_rank(model.mixer.sizes.at(2)) {}
};

ChunkedShape core_shape(const Model& model, const Sizes& sizes, std::int64_t tensor) {
  return {model.heads / tensor, sizes.key / model.heads, sizes.value / model.heads};
}

struct Layers {
  Linear qkvg;
  Linear decay_down;  ///< every rank computes it whole: it is narrow
  Linear decay_up;
  Linear projection;

  Layers(const Model& model, const Shard& shard, const Sizes& sizes)
      : qkvg(linear_layer({"query_key_value_gate", "query_key_value_gate_input_gradient",
                           "query_key_value_gate_weight_gradient", ""},
                          shard, 2 * (sizes.key + sizes.value) / shard.tensor, model.hidden)),
        decay_down(linear_layer(
            {"decay_down", "decay_down_input_gradient", "decay_down_weight_gradient", ""}, shard,
            sizes.decay_rank, model.hidden)),
        decay_up(linear_layer({"decay_up", "decay_up_input_gradient", "decay_up_weight_gradient",
                               "decay_up_bias_gradient"},
                              shard, sizes.key / shard.tensor, sizes.decay_rank)),
        projection(linear_layer(
            {"projection", "projection_input_gradient", "projection_weight_gradient", ""}, shard,
            model.hidden, sizes.value / shard.tensor)) {
    decay_up.has_bias = true;
  }
};

// The norm of the core's output, and the product with its gate after an activation: reads two,
// writes one; backward reads three, writes two.
Work output_work(const Model& model, const Shard& shard, const Sizes& sizes) {
  const std::int64_t width = sizes.value / shard.tensor;
  const double e = activation_bytes(shard);
  Work work = inner_norm_work(model, shard, sizes.value / model.heads, model.heads / shard.tensor,
                              {"head_norm", "head_norm_gradient", "head_norm_input"});
  Work gate;
  gate.forward = {memory_step("output_gate", MemoryOp::streaming, 3 * e * inside(shard, width))};
  gate.backward = {
      memory_step("output_gate_gradient", MemoryOp::streaming, 5 * e * inside(shard, width))};
  gate.saved = {saved("output_gate_input", 2 * e * inside(shard, width)),
                saved("projection_input", linear_input_bytes(shard) * inside(shard, width))};
  follow(work, gate);
  return work;
}

Branch branch_of(const Model& model, const Shard& shard) {
  const Sizes sizes(model);
  const Layers layers(model, shard, sizes);
  const double e = activation_bytes(shard);
  const Work core = chunked_core(shard, core_shape(model, sizes, shard.tensor));
  const Work output = output_work(model, shard, sizes);
  Branch branch;
  branch.norm = norm_work(model, shard,
                          {"attention_norm", "attention_norm_gradient", "attention_norm_input"});
  Work& inner = branch.inside;
  inner.parameters = layers.qkvg.parameters() + layers.decay_down.parameters() +
                     layers.decay_up.parameters() + output.parameters +
                     layers.projection.parameters();
  for (const Linear* layer : {&layers.qkvg, &layers.decay_down, &layers.decay_up}) {
    append_forward(inner.forward, *layer);
  }
  append(inner.forward, core.forward);
  append(inner.forward, output.forward);
  append_forward(inner.forward, layers.projection);

  append_input_gradient(inner.backward, layers.projection);
  append_weight_gradient(inner.backward, layers.projection, shard);
  append(inner.backward, output.backward);
  append(inner.backward, core.backward);
  append_bias_gradient(inner.backward, layers.decay_up, shard);
  append_input_gradient(inner.backward, layers.decay_up);
  append_weight_gradient(inner.backward, layers.decay_up, shard);
  for (const Linear* layer : {&layers.decay_down, &layers.qkvg}) {
    append_input_gradient(branch.input_gradients, *layer);
    append_weight_gradient(branch.weight_gradients, *layer, shard);
  }
  branch.input_gradients.push_back(
      memory_step("decay_gradient_add", MemoryOp::streaming, 3 * e * inside(shard, model.hidden)));

  inner.saved = {
      saved("qkv_input", linear_input_bytes(shard) * outside(shard, model.hidden)),
      saved("queries", e * inside(shard, sizes.key / shard.tensor)),
      saved("keys", e * inside(shard, sizes.key / shard.tensor)),
      saved("values", e * inside(shard, sizes.value / shard.tensor)),
      saved("decays", e * inside(shard, sizes.key / shard.tensor)),
      saved("decay_up_input", linear_input_bytes(shard) * inside(shard, sizes.decay_rank))};
  append(inner.saved, core.saved);
  append(inner.saved, output.saved);
  branch.residual = mixer_residual(model, shard, false);
  return branch;
}

BlockCount count(const Model& model, std::int64_t sequence_length) {
  const Sizes sizes(model);
  const std::int64_t weights = model.hidden * (2 * sizes.key + 3 * sizes.value) +
                               sizes.decay_rank * (model.hidden + sizes.key);
  const std::int64_t norm =
      sizes.value / model.heads * (model.norm == NormKind::layer_norm ? 2 : 1);
  BlockCount count;
  count.parameters = count.visited = weights + sizes.key + norm;
  count.products = static_cast<double>(weights);
  count.core = chunked_products(core_shape(model, sizes, 1), sequence_length);
  return count;
}

void check(config::Reader& reader, const Model& model) {
  const Sizes sizes(model);
  for (const auto& [key, size] : {std::pair{"key_dim", sizes.key}, {"value_dim", sizes.value}}) {
    if (size % model.heads != 0) {
      reader.fail(key, std::string(key) + " = " + std::to_string(size) +
                           " is not a multiple of heads = " + std::to_string(model.heads));
    }
  }
}

}  // namespace

BlockFunctions gated_linear_attention() { return {branch_of, count, kSizes, check, true}; }

}  // namespace foretrain::blocks
