// SPDX-License-Identifier: Apache-2.0
#include "tests/strategies/random_runs.hpp"

#include <algorithm>

#include "strategies/parallel/expert.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/small_runs.hpp"

namespace foretrain::testing {

Run RandomRuns::next() {
  const std::int64_t tensor = std::int64_t{1} << number(0, 2);
  const std::int64_t pipeline = number(1, 4);
  const std::int64_t data = number(1, std::max<std::int64_t>(1, 8 / (tensor * pipeline)));
  Run run = small_run(tensor, pipeline, data);
  draw_layout(run);
  draw_model(run);
  draw_stack(run.stack);
  if (run.parallel.context > 1) {
    run.stack.kernels.attention = AttentionKernel::flash2;
  }
  draw_network(run.cluster);
  draw_experts(run);
  draw_context_kind(run);
  draw_order(run);
  return with_possible_dispatch(run);
}

void RandomRuns::draw_layout(Run& run) {
  const std::int64_t pipeline = run.parallel.pipeline;
  draw_sharding(run);
  const std::int64_t data = run.data_parallel();
  run.parallel.sequence_parallel = run.parallel.tensor > 1 && coin();
  run.parallel.schedule = coin() ? "1f1b" : "gpipe";
  std::int64_t micro_batches = number(1, 5);
  if (pipeline > 1 && run.parallel.zero < 3 && coin()) {
    run.parallel.schedule = "interleaved-1f1b";
    run.parallel.virtual_stages = number(1, 2);
    micro_batches = pipeline * number(1, 2);
  }
  run.training.micro_batch = number(1, 2);
  run.training.global_batch = micro_batches * run.training.micro_batch * data;
  run.training.sequence_length = 64 * number(1, 16);
  run.training.recompute = static_cast<Recompute>(number(0, 3));
  run.training.recompute_every = number(1, 2);
}

// Of the replicas some may share sequences, and some model states.
void RandomRuns::draw_sharding(Run& run) {
  const std::int64_t replicas = run.replicas();
  std::int64_t most = 1;  // sequences are multiples of 64
  while (replicas % (2 * most) == 0) {
    most *= 2;
  }
  run.parallel.context = coin() ? 1 : most;
  run.parallel.zero = number(0, 3);
  if (run.parallel.zero > 0 && coin()) {
    std::int64_t shard = number(1, replicas);
    while (replicas % shard != 0) {
      --shard;
    }
    run.parallel.shard = shard;
  }
}

// Experts of half of the models that have some are on a grid of their own, where one fits.
void RandomRuns::draw_experts(Run& run) {
  if (!run.model.moe) {
    return;
  }
  MixtureOfExperts& moe = *run.model.moe;
  moe.ffn = coin() ? 0 : 128 * number(1, 4);
  moe.shared_ffn = coin() ? 0 : 128 * number(1, 4);
  moe.shared_gate = moe.shared_ffn > 0 && coin();
  moe.most_nodes = number(0, 2);
  run.training.expert_capacity.factor = coin() ? 0 : 0.5 * static_cast<double>(number(1, 3));
  run.training.expert_capacity.is_padded = run.training.expert_capacity.factor > 0 && coin();
  run.variation.expert_imbalance = coin() ? 0 : 0.5;
  const auto& ways = expert_dispatches();
  run.stack.expert_dispatch =
      ways[static_cast<std::size_t>(number(0, static_cast<std::int64_t>(ways.size()) - 1))].name;
  run.stack.overlap_shared_experts = coin();
  if (run.parallel.tensor > 1 && !run.parallel.sequence_parallel) {
    return;
  }
  run.parallel.experts.tensor = coin() ? 1 : run.parallel.tensor;
  run.parallel.experts.degree = std::int64_t{1} << number(0, 3);
  const std::int64_t grid = run.parallel.experts.degree * expert_tensor(run);
  const std::int64_t block = run.parallel.tensor * run.shards();
  const bool is_shared_evenly = !run.parallel.shard || block % grid == 0 || grid % block == 0;
  if (run.parallel.tensor * run.replicas() % grid != 0 || !is_shared_evenly) {
    run.parallel.experts = {};
  }
}

void RandomRuns::draw_context_kind(Run& run) {
  const auto& kinds = context_kinds();
  const ContextKind& kind =
      kinds[static_cast<std::size_t>(number(0, static_cast<std::int64_t>(kinds.size()) - 1))];
  if (run.parallel.context > 1 && !kind.refuse(run)) {
    run.parallel.grid.context_kind = kind.name;
  }
}

void RandomRuns::draw_order(Run& run) {
  auto& axes = run.parallel.grid.order.axes;
  if (coin()) {
    std::shuffle(axes.begin(), axes.end(), generator_);
  }
}

Run with_possible_dispatch(Run run) {
  const bool needs_nodes = expert_dispatch(run.stack.expert_dispatch).needs_nodes;
  if (run.model.moe && needs_nodes && experts_on_node(run) == 0) {
    run.stack.expert_dispatch = "all-to-all";
  }
  return run;
}

void RandomRuns::draw_model(Run& run) {
  const std::int64_t chunks = run.parallel.pipeline * run.parallel.virtual_stages;
  const std::int64_t layers = chunks * number(1, 2);
  const std::int64_t hidden = 128 * number(1, 8);
  switch (number(0, 3)) {
    case 0:
      run.model = gpt(layers, hidden, 16);
      break;
    case 1:
      run.model = neox(layers, hidden, 16);
      break;
    case 2:
      run.model = llama(layers, hidden, 16);
      break;
    default:
      run.model = mixtral(layers, hidden, 16);
      break;
  }
  run.model.vocabulary = number(100, 5000);
}

void RandomRuns::draw_stack(Stack& stack) {
  stack.kernels.attention = coin() ? AttentionKernel::unfused : AttentionKernel::flash2;
  stack.kernels.dropout = coin();
  stack.kernels.gathered_logits = coin();
  stack.accumulation = static_cast<Accumulation>(number(0, 3));
  stack.overlap_gradients = coin();
  stack.overlap_parameters = coin();
  stack.overlap_context = coin();
  stack.overlap_tensor_parallel = coin();
  if (!stack.overlap_tensor_parallel) {
    stack.hidden_tensor_parallel.value = share();
  }
  stack.exposed_gradients.value = share();
  stack.exposed_gathers.value = share();
  stack.scatter_gather = coin();
  stack.blocking_sends = coin();
  stack.bucket.value = Bytes(1e5 * static_cast<double>(number(1, 100)));
  stack.host_per_layer.value = Seconds(1e-6 * static_cast<double>(number(0, 20)));
  stack.host_per_micro_batch.value = Seconds(1e-6 * static_cast<double>(number(0, 100)));
}

void RandomRuns::draw_network(Cluster& cluster) {
  cluster.node.rate.value = BytesPerSecond(1e9 * static_cast<double>(number(20, 500)));
  cluster.fabric.rate.value = BytesPerSecond(1e9 * static_cast<double>(number(1, 50)));
  if (coin()) {
    cluster.fabric.half_rate_payload = {Bytes(1e6), "drawn", config::Basis::assumed};
  }
}

std::string describe(const Run& run) {
  const Parallel& parallel = run.parallel;
  const auto text = [](auto number) { return std::to_string(number); };
  return "tensor " + text(parallel.tensor) + (parallel.sequence_parallel ? " sequence" : "") +
         " pipeline " + text(parallel.pipeline) + " x " + text(parallel.virtual_stages) + " " +
         parallel.schedule + " data " + text(run.data_parallel()) + " zero " + text(parallel.zero) +
         " micro-batches " + text(run.num_micro_batches()) + " of " +
         text(run.training.micro_batch) + " x " + text(run.training.sequence_length) +
         " recompute " + text(static_cast<int>(run.training.recompute)) + " layers " +
         text(run.model.layers) + " hidden " + text(run.model.hidden) + " overlap " +
         text(run.stack.overlap_gradients) + text(run.stack.overlap_tensor_parallel) +
         text(run.stack.overlap_parameters) + text(run.stack.overlap_context) + " context " +
         text(parallel.context) + " shard " + text(run.shards()) + " hidden " +
         text(run.stack.hidden_tensor_parallel.value) + " exposed " +
         text(run.stack.exposed_gradients.value) + " " + text(run.stack.exposed_gathers.value) +
         " expert " + text(parallel.experts.degree) + " x " + text(expert_tensor(run)) + " " +
         run.stack.expert_dispatch + " " + parallel.grid.context_kind + " " +
         name_of(parallel.grid.order) + " blocking " + text(run.stack.blocking_sends) +
         " scatter " + text(run.stack.scatter_gather);
}

}  // namespace foretrain::testing
