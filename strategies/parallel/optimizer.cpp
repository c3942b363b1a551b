// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/optimizer.hpp"

#include <cmath>
#include <optional>

#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

Bytes whole(double count, Bytes each) { return Bytes(std::ceil((count * each).value)); }

// The share of the parameters that this rank updates.
double updated(const Run& run, const StageShape& shape) {
  const auto experts = static_cast<double>(shape.expert_parameters);
  const double dense = static_cast<double>(shape.parameters) - experts;
  return dense / static_cast<double>(run.shards()) +
         (experts > 0 ? experts / static_cast<double>(expert_shards(run)) : 0);
}

// The ranks that must have their parts of the norm before anyone updates; nothing when alone.
std::optional<std::uint32_t> norm_group(const Run& run) {
  if (pipeline_schedule(run.parallel.schedule).end == StepEnd::stage_by_stage) {
    return run.parallel.tensor > 1 ? std::optional(kTensorGroup) : std::nullopt;
  }
  return run.parallel.tensor * run.parallel.pipeline > 1 ? std::optional(kModelGroup)
                                                         : std::nullopt;
}

}  // namespace

// FSDP keeps a rank's shard in fp32 and casts before it gathers. fp8 training keeps 16 bit.
bool has_fp32_parameters(const Run& run) {
  return run.stack.accumulation == Accumulation::sharded ||
         size_of(run.training.precision) == Bytes(4);
}

Bytes parameter_bytes(const Run& run) { return Bytes(has_fp32_parameters(run) ? 4 : 2); }

Bytes optimizer_state_bytes(const Run& run) {
  if (run.stack.optimizer_state_bytes.value > 0) {
    return Bytes(run.stack.optimizer_state_bytes.value);
  }
  switch (run.training.optimizer) {
    case Optimizer::adam:
      return Bytes(has_fp32_parameters(run) ? 8 : 12);
  }
  return Bytes(0);
}

void hold_model_states(const Run& run, const StageShape& shape, BodyWriter& writer) {
  const double count = static_cast<double>(shape.parameters);
  const double shard = updated(run, shape);
  writer.resident(MemoryClass::parameters,
                  whole(run.parallel.zero == 3 ? shard : count, parameter_bytes(run)));
  writer.resident(MemoryClass::gradients,
                  whole(shards_gradients(run) ? shard : count, run.stack.gradient_size()));
  writer.resident(MemoryClass::optimizer, whole(updated(run, shape), optimizer_state_bytes(run)));
  writer.resident(MemoryClass::context, run.stack.context.value);
  if (run.stack.communicators.value > Bytes(0) && run.num_gpus() > 1) {
    writer.resident(MemoryClass::communicators, run.stack.communicators.value);
  }
  writer.allocator_slack(run.stack.allocator_slack.value);
}

void sum_tied_embedding(const Run& run, const StageShape& shape, BodyWriter& writer) {
  const bool is_shared = shares_embedding(run.model) && run.parallel.pipeline > 1;
  if (is_shared && (shape.has_embedding || shape.has_head)) {
    const std::int64_t rows =
        padded_vocabulary(run.model.vocabulary, run.parallel.tensor) / run.parallel.tensor;
    const Bytes payload = static_cast<double>(rows * run.model.hidden) * run.stack.gradient_size();
    writer.op(kCompute, "tied embedding all-reduce",
              Collective{CollectiveKind::all_reduce, kEmbeddingGroup, payload});
  }
}

void write_update(const Run& run, const StageShape& shape, BodyWriter& writer) {
  writer.label("gradient norm");
  // With ZeRO-1 each rank norms its shard, and the replicas' parts are summed with the stages'.
  const double norm_bytes = updated(run, shape) * run.stack.gradient_size().value;
  writer.kernel("gradient norm", MemoryBound{MemoryOp::streaming, Bytes(norm_bytes)});
  if (const auto group = norm_group(run)) {  // ZeRO's own sum of one number is left out
    writer.op(kCompute, "gradient norm all-reduce",
              Collective{CollectiveKind::all_reduce, *group, Bytes(4)});
  }
  writer.label("optimizer");
  const double bytes = updated(run, shape) * run.stack.optimizer_bytes.value;
  writer.kernel("optimizer", MemoryBound{MemoryOp::streaming, Bytes(bytes)});
}

}  // namespace foretrain
