// Checks across fields of how experts, sequences and ranks are laid out. Every message names the
// keys of both sides.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/gpu.hpp"
#include "strategies/optimizer/optimizer.hpp"
#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

using config::Diagnostics;
using config::Position;

std::string text(std::int64_t number) { return std::to_string(number); }

constexpr const char* kExpertKey = "parallel.expert";
constexpr const char* kExpertTensorKey = "parallel.expert_tensor";

// What means nothing to a model without experts.
bool refuse_without_experts(const Run& run, Diagnostics& diagnostics) {
  if (run.model.moe) {
    return false;
  }
  const ExpertKeys& keys = run.parallel.experts;
  const std::string reason =
      " has no effect: model '" + run.model.name + "' has no mixture_of_experts";
  if (keys.degree > 1) {
    diagnostics.add(keys.degree_position, kExpertKey, "expert " + text(keys.degree) + reason);
  }
  if (keys.tensor) {
    diagnostics.add(keys.tensor_position, kExpertTensorKey, "expert_tensor" + reason);
  }
  if (run.training.expert_capacity.factor > 0) {
    diagnostics.add(run.training.expert_capacity.position, "training.expert_capacity",
                    "expert_capacity" + reason);
  }
  return true;
}

bool check_degree(const Run& run, Diagnostics& diagnostics) {
  const ExpertKeys& keys = run.parallel.experts;
  const std::size_t before = diagnostics.size();
  if (run.model.moe->experts % keys.degree != 0) {
    diagnostics.add(keys.degree_position, kExpertKey,
                    "expert " + text(keys.degree) + " does not divide the model's experts " +
                        text(run.model.moe->experts));
  }
  const std::int64_t places = run.parallel.tensor * run.replicas();
  const std::int64_t grid = keys.degree * expert_tensor(run);
  if (places % grid != 0) {
    diagnostics.add(keys.degree_position, kExpertKey,
                    "expert " + text(keys.degree) + " x expert_tensor " + text(expert_tensor(run)) +
                        " = " + text(grid) + " does not divide the " + text(places) +
                        " GPUs of a stage (tensor x context x data)");
  }
  return diagnostics.size() == before;
}

void check_widths(const Run& run, Diagnostics& diagnostics) {
  const ExpertKeys& keys = run.parallel.experts;
  const std::int64_t split = expert_tensor(run);
  if (expert_ffn(run.model) % split != 0) {
    diagnostics.add(keys.tensor_position, kExpertTensorKey,
                    "expert_tensor " + text(split) + " does not divide the experts' ffn " +
                        text(expert_ffn(run.model)));
  }
  if (run.model.moe->shared_ffn % run.parallel.tensor != 0) {
    diagnostics.add(keys.degree_position, "parallel.tensor",
                    "tensor " + text(run.parallel.tensor) +
                        " does not divide the model's shared_ffn " +
                        text(run.model.moe->shared_ffn));
  }
}

// Megatron-Core refuses it as well: without it every rank of a tensor group would send every token.
void check_region(const Run& run, Diagnostics& diagnostics) {
  const ExpertKeys& keys = run.parallel.experts;
  if (run.parallel.tensor > 1 && !run.parallel.sequence_parallel) {
    diagnostics.add(keys.degree_position, kExpertKey,
                    "experts on other ranks than the rest of a layer need sequence_parallel with "
                    "tensor " +
                        text(run.parallel.tensor));
  }
  if (run.model.parallel_residual) {
    diagnostics.add(
        keys.degree_position, kExpertKey,
        "expert with the parallel_residual of model '" + run.model.name + "' is not modelled");
  }
}

void check_shards(const Run& run, Diagnostics& diagnostics) {
  const std::int64_t block = run.parallel.tensor * run.shards();
  const std::int64_t grid = run.parallel.experts.degree * expert_tensor(run);
  if (run.parallel.shard && block % grid != 0 && grid % block != 0) {
    diagnostics.add(run.parallel.experts.degree_position, kExpertKey,
                    "of shard x tensor = " + text(block) + " and expert x expert_tensor = " +
                        text(grid) + " neither divides the other");
  }
}

void check_dispatch(const Run& run, Diagnostics& diagnostics) {
  const bool needs_nodes = expert_dispatch(run.stack.expert_dispatch).needs_nodes;
  if (needs_nodes && experts_on_node(run) == 0) {
    diagnostics.add(run.parallel.experts.degree_position, kExpertKey,
                    "expert_dispatch \"" + run.stack.expert_dispatch + "\" of stack '" +
                        run.stack.name + "' needs as many of the expert " +
                        text(run.parallel.experts.degree) + " ranks on every node");
  }
}

// Such an optimizer gathers or sums whole matrices, and those of experts have other holders.
void check_update(const Run& run, Diagnostics& diagnostics) {
  if (run.shards() > 1 && optimizer(run.training.optimizer).exchange != nullptr) {
    diagnostics.add(run.parallel.experts.degree_position, kExpertKey,
                    "experts on other ranks than the rest of a layer, with optimizer " +
                        run.training.optimizer + " under zero " + text(run.parallel.zero) +
                        ", are not modelled: it tells other ranks of whole matrices");
  }
}

void check_router(const Run& run, Diagnostics& diagnostics) {
  for (const Cluster* kind : run.cluster.kinds()) {
    if (run.stack.kernels.fp32_router && !supports(kind->gpu, Dtype::fp32)) {
      diagnostics.add(run.parallel.experts.degree_position, "stack",
                      "stack '" + run.stack.name + "' routes in fp32, for which the file of GPU '" +
                          kind->gpu.name + "' has no GEMM parameters");
    }
  }
}

}  // namespace

void check_experts(const Run& run, Diagnostics& diagnostics) {
  if (refuse_without_experts(run, diagnostics)) {
    return;
  }
  check_router(run, diagnostics);
  if (!check_degree(run, diagnostics)) {
    return;
  }
  check_widths(run, diagnostics);
  if (has_expert_grid(run)) {
    check_region(run, diagnostics);
    check_shards(run, diagnostics);
    check_dispatch(run, diagnostics);
    check_update(run, diagnostics);
  }
}

void check_expert_imbalance(const RunFile& file, const Run& run, Diagnostics& diagnostics) {
  if (run.variation.expert_imbalance > 0 && (!run.model.moe || run.parallel.experts.degree == 1)) {
    diagnostics.add(file.variation_places.expert_imbalance, "variation.expert_imbalance",
                    "has no effect: no ranks share experts (parallel.expert)");
  }
}

void check_context_kind(const Run& run, Diagnostics& diagnostics) {
  const GridKeys& keys = run.parallel.grid;
  const bool is_default = keys.context_kind == GridKeys{}.context_kind;
  if (run.parallel.context == 1) {
    if (!is_default) {
      diagnostics.add(keys.context_kind_position, "parallel.context_kind",
                      "context_kind \"" + keys.context_kind + "\" has no effect with context 1");
    }
    return;
  }
  if (run.model.heads % run.parallel.tensor != 0 || run.model.kv_heads % run.parallel.tensor != 0) {
    return;  // reported already
  }
  if (const auto reason = context_kind(keys.context_kind).refuse(run)) {
    diagnostics.add(keys.context_kind_position, "parallel.context_kind", *reason);
  }
}

}  // namespace foretrain
