// One transformer layer: how norms, tensor-parallel regions and the residual stream are put
// together.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"
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

void require_divisible(const Model& model, const Shard& shard) {
  FORETRAIN_ASSERT(shard.tensor > 0 && shard.micro_batch > 0 && shard.sequence > 0,
                   "a shard has ranks and tokens");
  FORETRAIN_ASSERT(model.heads % shard.tensor == 0 && model.ffn % shard.tensor == 0,
                   "tensor parallelism divides heads and ffn");
  FORETRAIN_ASSERT(model.kv_heads % shard.tensor == 0 || shard.tensor % model.kv_heads == 0,
                   "ranks hold whole key-value heads");
  FORETRAIN_ASSERT(!model.moe || (model.moe->experts % shard.experts.degree == 0 &&
                                  expert_ffn(model) % shard.expert_tensor() == 0 &&
                                  model.moe->shared_ffn % shard.tensor == 0),
                   "expert parallelism divides the experts, and tensor parallelism their widths");
  FORETRAIN_ASSERT(!model.moe || !shard.dispatches() || !model.parallel_residual,
                   "a parallel residual has one pair of boundaries for both branches");
}

// Gemma 2's report, section 2: the output of a branch is normalised before it joins the stream.
Branch with_output_norm(const Model& model, const Shard& shard, Branch branch,
                        const NormNames& names) {
  if (model.branch_norms) {
    branch.output_norm = norm_work(model, shard, names);
  }
  return branch;
}

}  // namespace

Branch mixer_branch(const Model& model, const Shard& shard) {
  return with_output_norm(
      model, shard, mixer_of(model).functions().branch(model, shard),
      {"attention_output_norm", "attention_output_norm_gradient", "attention_output_norm_input"});
}

Branch feed_forward_branch(const Model& model, const Shard& shard) {
  return with_output_norm(model, shard, feed_forward_of(model).functions().branch(model, shard),
                          {"mlp_output_norm", "mlp_output_norm_gradient", "mlp_output_norm_input"});
}

Work serial(const Model& model, const Shard& shard, const Branch& branch) {
  Work work;
  work.parameters = branch.norm.parameters + branch.inside.parameters +
                    branch.output_norm.parameters + branch.residual.parameters;
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
  append(work.forward, branch.output_norm.forward);
  append(work.forward, branch.residual.forward);

  append(work.backward, branch.residual.backward);
  append(work.backward, branch.output_norm.backward);
  boundary(work.backward, leave());
  append(work.backward, branch.inside.backward);
  append(work.backward, branch.input_gradients);
  append(work.backward, branch.weight_gradients);
  boundary(work.backward, enter());
  append(work.backward, branch.norm.backward);
  work.backward.push_back(gradient_add(model, shard));

  append(work.saved, branch.norm.saved);
  append(work.saved, branch.inside.saved);
  append(work.saved, branch.output_norm.saved);
  append(work.saved, branch.residual.saved);
  return work;
}

namespace {

Work parallel_residual_work(const Model& model, const Shard& shard, const Branch& attention,
                            const Branch& mlp) {
  return residual_work(model, shard, attention.has_output_bias || mlp.has_output_bias,
                       {"dropout_add", "output_bias", "output_dropout", "residual_add",
                        "output_dropout_gradient", "output_bias_gradient", "output_dropout_mask"});
}

std::int64_t inner_parameters(const Branch& branch) {
  return branch.inside.parameters + branch.residual.parameters;
}

double sum_bytes(const Model& model, const Shard& shard) {
  return 3 * activation_bytes(shard) * inside(shard, model.hidden);
}

// GPT-NeoX: x + attention(norm(x)) + mlp(norm'(x)). The ranks add their parts of both branches
// before the one boundary, and bias and dropout are applied to the sum. The two norms differ, so
// each branch enters the region with an input of its own, and sends back a gradient of its own.
Work parallel(const Model& model, const Shard& shard) {
  const Branch attention = mixer_branch(model, shard);
  const Branch mlp = feed_forward_branch(model, shard);
  const Work residual = parallel_residual_work(model, shard, attention, mlp);
  Work work;
  work.parameters = attention.norm.parameters + inner_parameters(attention) + mlp.norm.parameters +
                    inner_parameters(mlp);
  for (const Branch* branch : {&attention, &mlp}) {
    append(work.forward, branch->norm.forward);
    work.forward.push_back(enter());
    append(work.forward, branch->inside.forward);
  }
  work.forward.push_back(memory_step("branch_add", MemoryOp::streaming, sum_bytes(model, shard)));
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

  append(work.saved, attention.norm.saved);  // both norms read the same tensor
  append(work.saved, attention.inside.saved);
  append(work.saved, mlp.inside.saved);
  append(work.saved, residual.saved);
  return work;
}

// PaLM (Chowdhery et al. 2022, section 2): x + attention(norm(x)) + mlp(norm(x)) with one norm. The
// branches enter the region together: their input is gathered and kept once, and the gradients of
// it are added before they are sent.
Work parallel_with_one_norm(const Model& model, const Shard& shard) {
  const Branch attention = mixer_branch(model, shard);
  const Branch mlp = feed_forward_branch(model, shard);
  const Work residual = parallel_residual_work(model, shard, attention, mlp);
  Work work;
  work.parameters = attention.norm.parameters + inner_parameters(attention) + inner_parameters(mlp);
  append(work.forward, attention.norm.forward);
  work.forward.push_back(enter());
  append(work.forward, attention.inside.forward);
  append(work.forward, mlp.inside.forward);
  work.forward.push_back(memory_step("branch_add", MemoryOp::streaming, sum_bytes(model, shard)));
  work.forward.push_back(leave());
  append(work.forward, residual.forward);

  append(work.backward, residual.backward);
  work.backward.push_back(leave());
  append(work.backward, mlp.inside.backward);
  append(work.backward, attention.inside.backward);
  work.backward.push_back(
      memory_step("branch_gradient_add", MemoryOp::streaming, sum_bytes(model, shard)));
  append(work.backward, mlp.input_gradients);
  append(work.backward, attention.input_gradients);
  append(work.backward, mlp.weight_gradients);
  append(work.backward, attention.weight_gradients);
  work.backward.push_back(enter());
  append(work.backward, attention.norm.backward);
  work.backward.push_back(gradient_add(model, shard));

  append(work.saved, attention.norm.saved);
  append(work.saved, attention.inside.saved);
  FORETRAIN_ASSERT(!mlp.inside.saved.empty(), "a branch keeps its input");
  work.saved.insert(work.saved.end(), mlp.inside.saved.begin() + 1, mlp.inside.saved.end());
  append(work.saved, residual.saved);
  return work;
}

}  // namespace
}  // namespace blocks

Work attention_work(const Model& model, const Shard& shard) {
  blocks::require_divisible(model, shard);
  return blocks::serial(model, shard, blocks::mixer_branch(model, shard));
}

Work mlp_work(const Model& model, const Shard& shard) {
  blocks::require_divisible(model, shard);
  return blocks::serial(model, shard, blocks::feed_forward_branch(model, shard));
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

Work work_alike(const Model& model, const Shard& shard) {
  blocks::require_divisible(model, shard);
  Work work;
  if (model.parallel_residual) {
    work = model.shared_norm ? blocks::parallel_with_one_norm(model, shard)
                             : blocks::parallel(model, shard);
  } else {
    work = attention_work(model, shard);
    blocks::follow(work, mlp_work(model, shard));
  }
  blocks::follow(work, extra_work(model, shard));
  work.stream_elements = blocks::inside(shard, model.hidden);
  return work;
}

}  // namespace

Work layer_work(const Model& model, const Shard& shard, std::size_t kind) {
  FORETRAIN_ASSERT(kind < num_layer_kinds(model), "a kind of layer that the model has");
  const Model alike = layer_model(model, kind);
  if (!model.vision || kind > 1) {
    return work_alike(alike, shard);
  }
  if (kind == 0) {
    return work_alike(alike, blocks::vision_shard(model, shard));
  }
  Work work = blocks::image_entry_work(model, shard);
  blocks::follow(work, work_alike(alike, shard));
  work.stream_elements = blocks::inside(shard, model.hidden);
  return work;
}

}  // namespace foretrain
