// Mixture of experts. A router sends each token to k of E experts; the experts' products are
// grouped GEMMs over equal shares of the rows that come to a rank.
//
// Where every rank holds 1/t of every expert, all of it stands inside the tensor-parallel region.
// Where tokens travel to their experts (e ranks share them, t' split each), each rank routes the
// tokens outside the region that are its own, and only the shared experts are a region, as
// Megatron-Core has it (megatron/core/transformer/moe: token_dispatcher.py, shared_experts.py).
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"
#include "models/blocks/mixture.hpp"
#include "models/blocks/parts.hpp"
#include "models/count.hpp"

namespace foretrain::blocks {
namespace {

// Dispatch copies rows: reads and writes k h per token. Combine reads k h, weights and sums them,
// writes h. Backward of combine reads h once per copy and the copies (for the weights' gradients),
// and writes k h; backward of dispatch sums k h into h.
double sum_bytes(const Routed& routed, const Model& model, const Shard& shard) {
  return activation_bytes(shard) * (routed.copies + routed.elements(model.hidden));
}

// The softmax over experts and the choice of k, in fp32: reads the router's output, writes
// probabilities; its gradient reads both and writes.
double routing_elements(const Model& model, const Routed& routed) {
  return routed.elements(model.moe->experts);
}

// The shared experts may run while tokens travel.
void append_beside(std::vector<Step>& to, const std::vector<Step>& steps) {
  to.reserve(to.size() + steps.size());
  for (const Step& step : steps) {
    to.push_back(step);
    to.back().is_beside_experts = true;
  }
}

/// All parts of one mixture, and its lists piece by piece.
class Mixture {
 public:
  Mixture(const Model& model, const Shard& shard)
      : model_(model),
        shard_(shard),
        routed_(model, shard),
        router_(router_of(model, shard, routed_)),
        experts_(experts_of(model, shard, routed_)),
        shared_(shared_of(model, shard, routed_)),
        activation_(activation_work(model, shard, experts_.inner)),
        shared_activation_(activation_work(model, shard, shared_.inner)),
        e_(activation_bytes(shard)) {}

  [[nodiscard]] bool has_shared() const { return model_.moe->shared_ffn > 0; }
  [[nodiscard]] std::int64_t expert_parameters() const {
    return experts_.up.parameters() + experts_.down.parameters();
  }
  [[nodiscard]] std::int64_t parameters() const {
    const std::int64_t gate = model_.moe->shared_gate ? shared_.gate.parameters() : 0;
    return router_.parameters() + expert_parameters() +
           (has_shared() ? shared_.up.parameters() + shared_.down.parameters() + gate : 0);
  }

  void route(std::vector<Step>& steps) const {
    append_forward(steps, router_);
    steps.push_back(
        memory_step("routing", MemoryOp::softmax, (e_ + 4) * routing_elements(model_, routed_)));
    steps.push_back(memory_step("dispatch", MemoryOp::streaming, 2 * e_ * routed_.copies));
  }
  void run_experts(std::vector<Step>& steps) const {
    append_sort(steps, "sort_by_expert");
    append_forward(steps, experts_.up);
    append(steps, activation_.forward);
    append_forward(steps, experts_.down);
    append_sort(steps, "sort_by_rank");
  }
  void combine(std::vector<Step>& steps) const {
    steps.push_back(
        memory_step("combine", MemoryOp::streaming, sum_bytes(routed_, model_, shard_)));
  }
  [[nodiscard]] std::vector<Step> shared_up() const {
    std::vector<Step> steps;
    append_forward(steps, shared_.up);
    append(steps, shared_activation_.forward);
    return steps;
  }
  [[nodiscard]] std::vector<Step> shared_down() const {
    std::vector<Step> steps;
    append_forward(steps, shared_.down);
    return steps;
  }
  // The gate's product, scaling by it, and the sum with what the routed experts made.
  void add_shared(std::vector<Step>& steps, double elements) const {
    if (model_.moe->shared_gate) {
      append_forward(steps, shared_.gate);
      steps.push_back(memory_step("shared_gate_scale", MemoryOp::streaming, 2 * e_ * elements));
    }
    steps.push_back(memory_step("shared_experts_add", MemoryOp::streaming, 3 * e_ * elements));
  }

  void combine_backward(std::vector<Step>& steps) const {
    steps.push_back(memory_step("combine_gradient", MemoryOp::streaming, 3 * e_ * routed_.copies));
  }
  // All but the weight gradients of the first layer.
  void run_experts_backward(std::vector<Step>& steps) const {
    append_sort(steps, "sort_by_expert");
    append_bias_gradient(steps, experts_.down, shard_);
    append_input_gradient(steps, experts_.down);
    append_weight_gradient(steps, experts_.down, shard_);
    append(steps, activation_.backward);
    append_bias_gradient(steps, experts_.up, shard_);
    append_input_gradient(steps, experts_.up);
  }
  void up_weight_gradient(std::vector<Step>& steps) const {
    append_weight_gradient(steps, experts_.up, shard_);
    append_sort(steps, "sort_by_rank");
  }
  void route_backward(std::vector<Step>& steps) const {
    steps.push_back(
        memory_step("dispatch_gradient", MemoryOp::streaming, sum_bytes(routed_, model_, shard_)));
    steps.push_back(memory_step("routing_gradient", MemoryOp::softmax,
                                (4 + 4 + e_) * routing_elements(model_, routed_)));
  }
  void router_backward(std::vector<Step>& input, std::vector<Step>& weight) const {
    append_input_gradient(input, router_);
    input.push_back(memory_step("router_gradient_add", MemoryOp::streaming,
                                3 * e_ * routed_.elements(model_.hidden)));
    append_weight_gradient(weight, router_, shard_);
  }
  // The gate's gradient is a product of the two, summed over the width.
  void add_shared_backward(std::vector<Step>& steps, double elements) const {
    if (model_.moe->shared_gate) {
      steps.push_back(
          memory_step("shared_gate_scale_gradient", MemoryOp::streaming, 3 * e_ * elements));
      append_input_gradient(steps, shared_.gate);
      append_weight_gradient(steps, shared_.gate, shard_);
    }
  }
  [[nodiscard]] std::vector<Step> shared_down_backward() const {
    std::vector<Step> steps;
    append_bias_gradient(steps, shared_.down, shard_);
    append_input_gradient(steps, shared_.down);
    append_weight_gradient(steps, shared_.down, shard_);
    return steps;
  }
  // Without the two products, which the region's end wants by themselves.
  [[nodiscard]] std::vector<Step> shared_activation_backward() const {
    std::vector<Step> steps = shared_activation_.backward;
    append_bias_gradient(steps, shared_.up, shard_);
    return steps;
  }
  void shared_up_backward(std::vector<Step>& input, std::vector<Step>& weight) const {
    append_input_gradient(input, shared_.up);
    append_weight_gradient(weight, shared_.up, shard_);
  }
  // The gradients of the router's input and of the shared experts' are added.
  void add_input_gradients(std::vector<Step>& steps, double elements) const {
    steps.push_back(
        memory_step("shared_experts_gradient_add", MemoryOp::streaming, 3 * e_ * elements));
  }

  // Combine's gradient needs what the experts put out, on the rank that sent the copies.
  [[nodiscard]] std::vector<SavedTensor> saved_tensors() const {
    std::vector<SavedTensor> list = {
        saved("router_input", e_ * outside(shard_, model_.hidden)),
        saved("router_probabilities", 4 * routing_elements(model_, routed_)),
        saved("experts_input", linear_input_bytes(shard_) * routed_.arrived)};
    list.insert(list.end(), activation_.saved.begin(), activation_.saved.end());
    list.push_back(saved("experts_down_input", linear_input_bytes(shard_) * experts_.inner));
    list.push_back(saved("experts_output", e_ * routed_.copies));
    if (has_shared()) {
      list.insert(list.end(), shared_activation_.saved.begin(), shared_activation_.saved.end());
      list.push_back(saved("shared_down_input", linear_input_bytes(shard_) * shared_.inner));
    }
    if (model_.moe->shared_gate) {
      list.push_back(saved("shared_experts_output", e_ * outside(shard_, model_.hidden)));
    }
    return list;
  }

  [[nodiscard]] Step boundary(std::string_view name, Boundary boundary) const {
    return {name, boundary, false, false, routed_.copies};
  }

 private:
  // Rows come rank by rank, and each expert wants its own next to one another.
  void append_sort(std::vector<Step>& steps, std::string_view name) const {
    if (shard_.experts.degree > 1 && routed_.experts > 1) {
      steps.push_back(memory_step(name, MemoryOp::streaming, 2 * e_ * routed_.arrived));
    }
  }

  const Model& model_;
  const Shard& shard_;
  Routed routed_;
  Linear router_;
  Experts experts_;
  SharedExperts shared_;
  Work activation_;
  Work shared_activation_;
  double e_;
};

// All between one pair of boundaries; the copies stand on every rank whole, also with sequence
// parallelism: they are made after the tokens have been gathered.
void write_in_region(Branch& branch, const Mixture& mixture, double elements) {
  std::vector<Step>& forward = branch.inside.forward;
  mixture.route(forward);
  mixture.run_experts(forward);
  mixture.combine(forward);
  std::vector<Step>& back = branch.inside.backward;
  if (mixture.has_shared()) {
    append(forward, mixture.shared_up());
    append(forward, mixture.shared_down());
    mixture.add_shared(forward, elements);
    mixture.add_shared_backward(back, elements);
    append(back, mixture.shared_down_backward());
    append(back, mixture.shared_activation_backward());
  }
  mixture.combine_backward(back);
  mixture.run_experts_backward(back);
  mixture.route_backward(back);
  if (mixture.has_shared()) {
    mixture.shared_up_backward(branch.input_gradients, branch.weight_gradients);
    mixture.add_input_gradients(branch.input_gradients, elements);
  }
  std::vector<Step> router;
  mixture.router_backward(branch.input_gradients, router);
  mixture.up_weight_gradient(branch.weight_gradients);
  append(branch.weight_gradients, router);
}

// Tokens travel. The two products of the shared experts stand before the two boundaries beside
// which they may run.
void write_dispatched(Branch& branch, const Mixture& mixture, double elements) {
  const Step enter{"enter_tensor_parallel", Boundary::enter_tensor_parallel, false};
  const Step leave{"leave_tensor_parallel", Boundary::leave_tensor_parallel, false};
  const Step dispatch = mixture.boundary("dispatch_experts", Boundary::dispatch_experts);
  const Step combine = mixture.boundary("combine_experts", Boundary::combine_experts);
  branch.has_own_boundaries = true;

  std::vector<Step>& forward = branch.inside.forward;
  mixture.route(forward);
  if (mixture.has_shared()) {
    forward.push_back(enter);
    append_beside(forward, mixture.shared_up());
  }
  forward.push_back(dispatch);
  mixture.run_experts(forward);
  if (mixture.has_shared()) {
    append_beside(forward, mixture.shared_down());
  }
  forward.push_back(combine);
  if (mixture.has_shared()) {
    forward.push_back(leave);
  }
  mixture.combine(forward);
  if (mixture.has_shared()) {
    mixture.add_shared(forward, elements);
  }

  std::vector<Step>& back = branch.inside.backward;
  if (mixture.has_shared()) {
    mixture.add_shared_backward(back, elements);
    back.push_back(leave);
  }
  mixture.combine_backward(back);
  if (mixture.has_shared()) {
    append_beside(back, mixture.shared_down_backward());
  }
  back.push_back(combine);
  mixture.run_experts_backward(back);
  mixture.up_weight_gradient(back);
  if (mixture.has_shared()) {
    std::vector<Step> shared = mixture.shared_activation_backward();
    mixture.shared_up_backward(shared, shared);
    append_beside(back, shared);
  }
  back.push_back(dispatch);
  if (mixture.has_shared()) {
    back.push_back(enter);
  }
  mixture.route_backward(back);
  mixture.router_backward(back, back);
  if (mixture.has_shared()) {
    mixture.add_input_gradients(back, elements);
  }
}

}  // namespace

Branch moe_branch(const Model& model, const Shard& shard) {
  const Mixture mixture(model, shard);
  Branch branch;
  branch.norm = norm_work(model, shard, {"mlp_norm", "mlp_norm_gradient", "mlp_norm_input"});
  branch.inside.parameters = mixture.parameters();
  branch.inside.expert_parameters = shard.dispatches() ? mixture.expert_parameters() : 0;
  if (shard.dispatches()) {
    write_dispatched(branch, mixture, outside(shard, model.hidden));
  } else {
    write_in_region(branch, mixture, inside(shard, model.hidden));
  }
  branch.inside.saved = mixture.saved_tensors();
  branch.residual = residual_work(model, shard, false,
                                  {"mlp_dropout_add", "", "mlp_output_dropout", "mlp_add",
                                   "mlp_output_dropout_gradient", "", "mlp_output_dropout_mask"});
  return branch;
}

namespace {

// A token visits as many experts as the router picks, and all of the router and what is shared.
BlockCount count(const Model& model, std::int64_t) {
  const MixtureOfExperts& moe = *model.moe;
  const std::int64_t unvisited = moe.experts - moe.experts_per_token;
  const auto expert = count_one_mlp<std::int64_t>(model, expert_ffn(model));
  const double matrices = model.mlp == MlpKind::gated ? 3.0 : 2.0;
  const std::int64_t width = moe.experts_per_token * expert_ffn(model) + moe.shared_ffn;
  const std::int64_t routing = moe.experts + (moe.shared_gate ? 1 : 0);
  const auto parameters = count_mlp<std::int64_t>(model);
  const auto hidden = static_cast<double>(model.hidden);
  return {parameters, parameters - unvisited * expert,
          matrices * hidden * static_cast<double>(width) + hidden * static_cast<double>(routing),
          0};
}

}  // namespace

BlockFunctions mixture_of_experts() { return {moe_branch, count, {}, nullptr, false}; }

}  // namespace foretrain::blocks
