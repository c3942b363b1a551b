// Mixture of experts without expert parallelism: every rank holds 1/t of every expert. A router
// sends each token to k of E experts; the experts' products are grouped GEMMs over equal shares of
// tokens x k / E rows each.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

struct Routed {
  std::int64_t experts;
  std::int64_t rows;  ///< of one expert, rounded up
  double copies;      ///< elements of all copies of tokens, tokens x k x h

  Routed(const Model& model, const Shard& shard)
      : experts(model.moe->experts),
        rows((shard.tokens() * model.moe->experts_per_token + experts - 1) / experts),
        copies(inside(shard, model.hidden * model.moe->experts_per_token)) {}
};

// Every tensor-parallel rank routes all tokens itself, from replicated weights.
Linear router_of(const Model& model, const Shard& shard) {
  return {{"router", "router_input_gradient", "router_weight_gradient", ""},
          unquantized(shard.dtype),
          1,
          shard.tokens(),
          model.moe->experts,
          model.hidden,
          false};
}

// Dispatch copies rows: reads and writes k h per token. Combine reads k h, weights and sums them,
// writes h. Backward of combine reads h once per copy and the copies (for the weights' gradients),
// and writes k h; backward of dispatch sums k h into h.
double sum_bytes(const Routed& routed, const Model& model, const Shard& shard) {
  return activation_bytes(shard) * (routed.copies + inside(shard, model.hidden));
}

// The softmax over experts and the choice of k, in fp32: reads the router's output, writes
// probabilities; its gradient reads both and writes.
double routing_elements(const Model& model, const Shard& shard) {
  return inside(shard, model.moe->experts);
}

struct Experts {
  Linear up;
  Linear down;
  double inner;  ///< elements between them
};

// Biases of both layers are held by the experts themselves: one row differs from the next.
Experts experts_of(const Model& model, const Shard& shard, const Routed& routed) {
  const std::int64_t ffn = model.ffn / shard.tensor;
  const std::int64_t into = model.mlp == MlpKind::gated ? 2 * ffn : ffn;
  return {{{"experts_up", "experts_up_input_gradient", "experts_up_weight_gradient",
            "experts_up_bias_gradient"},
           shard.dtype,
           routed.experts,
           routed.rows,
           into,
           model.hidden,
           model.mlp_bias,
           true},
          {{"experts_down", "experts_down_input_gradient", "experts_down_weight_gradient",
            "experts_down_bias_gradient"},
           shard.dtype,
           routed.experts,
           routed.rows,
           model.hidden,
           ffn,
           model.mlp_bias,
           true},
          inside(shard, ffn * model.moe->experts_per_token)};
}

// The copies of tokens stand on every rank whole, also with sequence parallelism: they are made
// after the tokens have been gathered. Combine's gradient needs what the experts put out.
std::vector<SavedTensor> saved_by(const Model& model, const Shard& shard, const Routed& routed,
                                  const Work& activation, double inner) {
  std::vector<SavedTensor> list = {
      saved("router_input", activation_bytes(shard) * outside(shard, model.hidden)),
      saved("router_probabilities", 4 * routing_elements(model, shard)),
      saved("experts_input", linear_input_bytes(shard) * routed.copies)};
  list.insert(list.end(), activation.saved.begin(), activation.saved.end());
  list.push_back(saved("experts_down_input", linear_input_bytes(shard) * inner));
  list.push_back(saved("experts_output", activation_bytes(shard) * routed.copies));
  return list;
}

void append_forward_steps(std::vector<Step>& steps, const Model& model, const Shard& shard,
                          const Routed& routed, const Experts& experts, const Work& activation) {
  const double e = activation_bytes(shard);
  append_forward(steps, router_of(model, shard));
  steps.push_back(
      memory_step("routing", MemoryOp::softmax, (e + 4) * routing_elements(model, shard)));
  steps.push_back(memory_step("dispatch", MemoryOp::streaming, 2 * e * routed.copies));
  append_forward(steps, experts.up);
  append(steps, activation.forward);
  append_forward(steps, experts.down);
  steps.push_back(memory_step("combine", MemoryOp::streaming, sum_bytes(routed, model, shard)));
}

}  // namespace

Branch moe_branch(const Model& model, const Shard& shard) {
  const Routed routed(model, shard);
  const Linear router = router_of(model, shard);
  const Experts experts = experts_of(model, shard, routed);
  const Work activation = activation_work(model, shard, experts.inner);
  const double e = activation_bytes(shard);
  Branch branch;
  branch.norm = norm_work(model, shard, {"mlp_norm", "mlp_norm_gradient", "mlp_norm_input"});
  Work& inner = branch.inside;
  inner.parameters = router.parameters() + experts.up.parameters() + experts.down.parameters();
  append_forward_steps(inner.forward, model, shard, routed, experts, activation);
  inner.saved = saved_by(model, shard, routed, activation, experts.inner);

  std::vector<Step>& back = inner.backward;
  back.push_back(memory_step("combine_gradient", MemoryOp::streaming, 3 * e * routed.copies));
  append_bias_gradient(back, experts.down, shard);
  append_input_gradient(back, experts.down);
  append_weight_gradient(back, experts.down, shard);
  append(back, activation.backward);
  append_bias_gradient(back, experts.up, shard);
  append_input_gradient(back, experts.up);
  back.push_back(
      memory_step("dispatch_gradient", MemoryOp::streaming, sum_bytes(routed, model, shard)));
  back.push_back(memory_step("routing_gradient", MemoryOp::softmax,
                             (4 + 4 + e) * routing_elements(model, shard)));
  append_input_gradient(branch.input_gradients, router);
  branch.input_gradients.push_back(
      memory_step("router_gradient_add", MemoryOp::streaming, 3 * e * inside(shard, model.hidden)));
  append_weight_gradient(branch.weight_gradients, experts.up, shard);
  append_weight_gradient(branch.weight_gradients, router, shard);

  branch.residual = residual_work(model, shard, false,
                                  {"mlp_dropout_add", "", "mlp_output_dropout", "mlp_add",
                                   "mlp_output_dropout_gradient", "", "mlp_output_dropout_mask"});
  return branch;
}

}  // namespace foretrain::blocks
