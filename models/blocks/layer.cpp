// One transformer layer: how norms, tensor-parallel regions and the residual stream are put
// together.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace blocks {
namespace {

Step enter() { return {"enter_tensor_parallel", Boundary::enter_tensor_parallel, false}; }
Step leave() { return {"leave_tensor_parallel", Boundary::leave_tensor_parallel, false}; }

// The stream reaches a norm's input on two ways, around the branch and through it; their gradients
// are added: two reads, one write.
Step gradient_add(const Model& model, const Shard& shard) {
  return memory_step("residual_gradient_add", MemoryOp::streaming,
                     3 * activation_bytes(shard) * outside(shard, model.hidden));
}

void append_saved(Work& work, const std::vector<SavedTensor>& tensors) {
  work.saved.insert(work.saved.end(), tensors.begin(), tensors.end());
}

void require_divisible(const Model& model, const Shard& shard) {
  FORETRAIN_ASSERT(shard.tensor > 0 && shard.micro_batch > 0 && shard.sequence > 0,
                   "a shard has ranks and tokens");
  FORETRAIN_ASSERT(model.heads % shard.tensor == 0 && model.kv_heads % shard.tensor == 0 &&
                       model.ffn % shard.tensor == 0,
                   "tensor parallelism divides heads, kv_heads and ffn");
  FORETRAIN_ASSERT(!model.moe || (model.moe->experts % shard.experts.degree == 0 &&
                                  expert_ffn(model) % shard.expert_tensor() == 0 &&
                                  model.moe->shared_ffn % shard.tensor == 0),
                   "expert parallelism divides the experts, and tensor parallelism their widths");
  FORETRAIN_ASSERT(!model.moe || !shard.dispatches() || !model.parallel_residual,
                   "a parallel residual has one pair of boundaries for both branches");
}

}  // namespace

Work serial(const Model& model, const Shard& shard, const Branch& branch) {
  Work work;
  work.parameters = branch.norm.parameters + branch.inside.parameters + branch.residual.parameters;
  work.expert_parameters = branch.inside.expert_parameters;
  const auto boundary = [&branch](std::vector<Step>& steps, const Step& step) {
    if (!branch.has_own_boundaries) {
      steps.push_back(step);
    }
  };
  append(work.forward, branch.norm.forward);
  boundary(work.forward, enter());
  append(work.forward, branch.inside.forward);
  boundary(work.forward, leave());
  append(work.forward, branch.residual.forward);

  append(work.backward, branch.residual.backward);
  boundary(work.backward, leave());
  append(work.backward, branch.inside.backward);
  append(work.backward, branch.input_gradients);
  append(work.backward, branch.weight_gradients);
  boundary(work.backward, enter());
  append(work.backward, branch.norm.backward);
  work.backward.push_back(gradient_add(model, shard));

  append_saved(work, branch.norm.saved);
  append_saved(work, branch.inside.saved);
  append_saved(work, branch.residual.saved);
  return work;
}

namespace {

// GPT-NeoX: x + attention(norm(x)) + mlp(norm'(x)). The ranks add their parts of both branches
// before the one boundary, and bias and dropout are applied to the sum. The two norms differ, so
// each branch enters the region with an input of its own, and sends back a gradient of its own.
Work parallel(const Model& model, const Shard& shard) {
  const Branch attention = attention_branch(model, shard);
  const Branch mlp = mlp_branch(model, shard);
  const double sum_bytes = 3 * activation_bytes(shard) * inside(shard, model.hidden);
  const Work residual =
      residual_work(model, shard, attention.has_output_bias || mlp.has_output_bias,
                    {"dropout_add", "output_bias", "output_dropout", "residual_add",
                     "output_dropout_gradient", "output_bias_gradient", "output_dropout_mask"});
  Work work;
  work.parameters = attention.norm.parameters + attention.inside.parameters +
                    attention.residual.parameters + mlp.norm.parameters + mlp.inside.parameters +
                    mlp.residual.parameters;
  for (const Branch* branch : {&attention, &mlp}) {
    append(work.forward, branch->norm.forward);
    work.forward.push_back(enter());
    append(work.forward, branch->inside.forward);
  }
  work.forward.push_back(memory_step("branch_add", MemoryOp::streaming, sum_bytes));
  work.forward.push_back(leave());
  append(work.forward, residual.forward);

  append(work.backward, residual.backward);
  work.backward.push_back(leave());
  for (const Branch* branch : {&mlp, &attention}) {
    append(work.backward, branch->inside.backward);
    append(work.backward, branch->input_gradients);
    append(work.backward, branch->weight_gradients);
    work.backward.push_back(enter());
    append(work.backward, branch->norm.backward);
    work.backward.push_back(gradient_add(model, shard));
  }

  append_saved(work, attention.norm.saved);  // both norms read the same tensor
  append_saved(work, attention.inside.saved);
  append_saved(work, mlp.inside.saved);
  append_saved(work, residual.saved);
  return work;
}

}  // namespace
}  // namespace blocks

Work attention_work(const Model& model, const Shard& shard) {
  blocks::require_divisible(model, shard);
  return blocks::serial(model, shard, blocks::attention_branch(model, shard));
}

Work mlp_work(const Model& model, const Shard& shard) {
  blocks::require_divisible(model, shard);
  return blocks::serial(model, shard, blocks::mlp_branch(model, shard));
}

namespace {

// Copies and casts of an eager framework that belong to no block in particular.
Work extra_work(const Model& model, const Shard& shard) {
  const double elements = blocks::outside(shard, model.hidden);
  Work work;
  if (shard.kernels.extra_layer_bytes > 0) {
    work.forward = {blocks::memory_step("eager_copies", MemoryOp::streaming,
                                        shard.kernels.extra_layer_bytes * elements)};
  }
  if (shard.kernels.extra_layer_gradient_bytes > 0) {
    work.backward = {blocks::memory_step("eager_gradient_copies", MemoryOp::streaming,
                                         shard.kernels.extra_layer_gradient_bytes * elements)};
  }
  return work;
}

}  // namespace

Work layer_work(const Model& model, const Shard& shard, std::size_t kind) {
  FORETRAIN_ASSERT(kind < num_layer_kinds(model), "a kind of layer that the model has");
  blocks::require_divisible(model, shard);
  Work work;
  if (model.parallel_residual) {
    work = blocks::parallel(model, shard);
  } else {
    work = attention_work(model, shard);
    blocks::follow(work, mlp_work(model, shard));
  }
  blocks::follow(work, extra_work(model, shard));
  work.stream_elements = blocks::inside(shard, model.hidden);
  return work;
}

}  // namespace foretrain
