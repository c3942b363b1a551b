// SPDX-License-Identifier: Apache-2.0
//
// RWKV-6's time mixing: Peng et al. 2024, "Eagle and Finch: RWKV with Matrix-Valued States and
// Dynamic Recurrence", section 4.2, equations 14 to 20. Five mixtures of each token with the one
// before it, whose weights depend on the token through `mix_rank`; receptance, key, value and gate;
// a decay through `decay_rank`; linear attention, a norm over each head, the gate, and a
// projection.
//
// No published software runs it on several tensor-parallel ranks. Assumed: what works on whole
// tokens (mixtures and the narrow layers) runs on every rank, heads are split.
#include <array>

#include "models/blocks/catalog.hpp"
#include "models/blocks/parts.hpp"
#include "models/check_shape.hpp"

namespace foretrain::blocks {
namespace {

constexpr std::array<SizeKey, 2> kSizes{{{"mix_rank", kHidden, 32}, {"decay_rank", kHidden, 64}}};
constexpr std::int64_t kMixtures = 5;  // of receptance, key, value, gate and decay

std::int64_t mix_rank(const Model& model) { return model.mixer.sizes.at(0); }
std::int64_t decay_rank(const Model& model) { return model.mixer.sizes.at(1); }

struct Layers {
  Linear mix_down;
  Linear mix_up;  ///< one for each mixture
  Linear rkvg;    ///< likewise: each reads a mixture of its own
  Linear decay_down;
  Linear decay_up;
  Linear projection;

  Layers(const Model& model, const Shard& shard)
      : mix_down(
            linear_layer({"mix_down", "mix_down_input_gradient", "mix_down_weight_gradient", ""},
                         shard, kMixtures * mix_rank(model), model.hidden)),
        mix_up(linear_layer({"mix_up", "mix_up_input_gradient", "mix_up_weight_gradient", ""},
                            shard, model.hidden, mix_rank(model))),
        rkvg(linear_layer({"receptance_key_value_gate", "receptance_key_value_gate_input_gradient",
                           "receptance_key_value_gate_weight_gradient", ""},
                          shard, model.heads / shard.tensor * model.head_dim, model.hidden)),
        decay_down(linear_layer(
            {"decay_down", "decay_down_input_gradient", "decay_down_weight_gradient", ""}, shard,
            decay_rank(model), model.hidden)),
        decay_up(linear_layer({"decay_up", "decay_up_input_gradient", "decay_up_weight_gradient",
                               "decay_up_bias_gradient"},
                              shard, model.heads / shard.tensor * model.head_dim,
                              decay_rank(model))),
        projection(linear_layer(
            {"projection", "projection_input_gradient", "projection_weight_gradient", ""}, shard,
            model.hidden, model.heads / shard.tensor * model.head_dim)) {
    mix_up.batch = kMixtures;
    rkvg.batch = kMixtures - 1;
    rkvg.is_grouped = true;
    decay_up.has_bias = true;  // the decay that every token has
  }
};

// The first mixture reads a token and the one before it (in cache) and writes. The five read the
// token, the difference, and their weights, and write. Backward reads what forward wrote, and
// writes what it read. Weights: a vector for each mixture and for the first.
Work mixing(const Model& model, const Shard& shard, const Layers& layers) {
  const double e = activation_bytes(shard);
  const double elements = inside(shard, model.hidden);
  Work first;
  first.parameters = (kMixtures + 1) * model.hidden;
  first.forward = {memory_step("token_shift", MemoryOp::streaming, 3 * e * elements)};
  first.backward = {memory_step("token_shift_gradient", MemoryOp::streaming, 3 * e * elements)};
  first.saved = {saved("mix_input", linear_input_bytes(shard) * outside(shard, model.hidden))};
  append_forward(first.forward, layers.mix_down);
  append_forward(first.forward, layers.mix_up);
  const double mixtures = (2 + 2 * kMixtures) * e * elements;
  first.forward.push_back(memory_step("mixtures", MemoryOp::streaming, mixtures));
  first.saved.push_back(
      saved("mix_up_input", linear_input_bytes(shard) * inside(shard, layers.mix_down.outputs)));
  first.saved.push_back(saved("mix_weights", kMixtures * e * elements));
  first.saved.push_back(saved("mixtures", kMixtures * linear_input_bytes(shard) * elements));
  return first;
}

// The norm over heads has a scale and an offset for each channel, whatever the other norms have.
Work output_work(const Model& model, const Shard& shard) {
  const std::int64_t width = model.heads / shard.tensor * model.head_dim;
  const double e = activation_bytes(shard);
  Work work = inner_norm_work(model, shard, model.head_dim, model.heads / shard.tensor,
                              {"head_norm", "head_norm_gradient", "head_norm_input"});
  work.parameters = 2 * width;
  Work gate;
  gate.forward = {memory_step("output_gate", MemoryOp::streaming, 3 * e * inside(shard, width))};
  gate.backward = {
      memory_step("output_gate_gradient", MemoryOp::streaming, 5 * e * inside(shard, width))};
  gate.saved = {saved("output_gate_input", 2 * e * inside(shard, width)),
                saved("projection_input", linear_input_bytes(shard) * inside(shard, width))};
  follow(work, gate);
  return work;
}

void append_backward(Branch& branch, const Model& model, const Shard& shard, const Layers& layers,
                     const Work& core, const Work& output, const Work& mix) {
  std::vector<Step>& back = branch.inside.backward;
  append_input_gradient(back, layers.projection);
  append_weight_gradient(back, layers.projection, shard);
  append(back, output.backward);
  append(back, core.backward);
  append_bias_gradient(back, layers.decay_up, shard);
  append_input_gradient(back, layers.decay_up);
  append_weight_gradient(back, layers.decay_up, shard);
  std::vector<Step>& entering = branch.input_gradients;
  append_input_gradient(entering, layers.rkvg);
  append_input_gradient(entering, layers.decay_down);
  entering.push_back(
      memory_step("mixtures_gradient", MemoryOp::streaming,
                  (3 + 2 * kMixtures) * activation_bytes(shard) * inside(shard, model.hidden)));
  append_input_gradient(entering, layers.mix_up);
  append_input_gradient(entering, layers.mix_down);
  append(entering, mix.backward);
  for (const Linear* layer : {&layers.rkvg, &layers.decay_down, &layers.mix_up, &layers.mix_down}) {
    append_weight_gradient(branch.weight_gradients, *layer, shard);
  }
}

Branch branch_of(const Model& model, const Shard& shard) {
  const Layers layers(model, shard);
  const std::int64_t width = model.heads / shard.tensor * model.head_dim;
  const double e = activation_bytes(shard);
  const Work core =
      chunked_core(shard, {model.heads / shard.tensor, model.head_dim, model.head_dim});
  const Work output = output_work(model, shard);
  const Work mix = mixing(model, shard, layers);
  Branch branch;
  branch.norm = norm_work(model, shard,
                          {"attention_norm", "attention_norm_gradient", "attention_norm_input"});
  Work& inner = branch.inside;
  inner.parameters = mix.parameters + output.parameters + width;  // and the bonus of a token itself
  for (const Linear* layer : {&layers.mix_down, &layers.mix_up, &layers.rkvg, &layers.decay_down,
                              &layers.decay_up, &layers.projection}) {
    inner.parameters += layer->parameters();
  }
  append(inner.forward, mix.forward);
  append_forward(inner.forward, layers.rkvg);
  append_forward(inner.forward, layers.decay_down);
  append_forward(inner.forward, layers.decay_up);
  append(inner.forward, core.forward);
  append(inner.forward, output.forward);
  append_forward(inner.forward, layers.projection);
  append_backward(branch, model, shard, layers, core, output, mix);

  inner.saved = mix.saved;
  for (const char* name : {"receptance", "keys", "values", "decays"}) {
    inner.saved.push_back(saved(name, e * inside(shard, width)));
  }
  inner.saved.push_back(
      saved("decay_up_input", linear_input_bytes(shard) * inside(shard, decay_rank(model))));
  append(inner.saved, core.saved);
  append(inner.saved, output.saved);
  branch.residual = mixer_residual(model, shard, false);
  return branch;
}

BlockCount count(const Model& model, std::int64_t sequence_length) {
  const std::int64_t width = model.heads * model.head_dim;
  const std::int64_t weights = 5 * model.hidden * width +
                               2 * kMixtures * mix_rank(model) * model.hidden +
                               decay_rank(model) * (model.hidden + width);
  BlockCount count;
  count.parameters = count.visited = weights + (kMixtures + 1) * model.hidden + 4 * width;
  count.products = static_cast<double>(weights);
  count.core = chunked_products({model.heads, model.head_dim, model.head_dim}, sequence_length);
  return count;
}

}  // namespace

BlockFunctions rwkv_time_mix() { return {branch_of, count, kSizes, nullptr, true}; }

}  // namespace foretrain::blocks
