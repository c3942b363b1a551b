// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/offload.hpp"
#include "strategies/pipeline/split_backward.hpp"

namespace foretrain {
namespace {

Bytes whole(double count, Bytes each) { return Bytes(std::ceil((count * each).value)); }

// The share of the parameters that this rank updates.
double updated(const Run& run, const StageShape& shape) {
  const auto experts = static_cast<double>(shape.trained_experts());
  const double dense = static_cast<double>(shape.trained()) - experts;
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

// Tensors of `count` equal blocks. A tied head has no matrix of its own.
void append_tensors(const Work& work, TensorKind kind, std::int64_t count,
                    std::vector<ParameterTensor>& tensors) {
  std::int64_t rest = work.trained();
  for (const Step& step : split_backward(work).weight_gradient) {
    const auto& gemm = std::get<Gemm>(step.what);
    if (const std::int64_t elements = gemm.batch * gemm.m * gemm.n; elements <= rest) {
      tensors.push_back({kind, gemm.m, gemm.n, gemm.batch, count});
      rest -= elements;
    }
  }
  if (rest > 0) {
    tensors.push_back({TensorKind::vector, rest, 1, 1, count});
  }
}

double average(BytesFunction bytes, const std::vector<ParameterTensor>& tensors,
               const StateSizes& sizes) {
  double sum = 0;
  double elements = 0;
  for (const ParameterTensor& tensor : tensors) {
    sum += bytes(tensor, sizes);
    elements += tensor.elements();
  }
  return elements > 0 ? sum / elements : 0;
}

const OptimizerAlgorithm& optimizer_of(const Run& run) { return optimizer(run.training.optimizer); }

// Sums over tensors that model states' shards or tensor parallelism cut, and whole tensors that no
// shard has.
void write_exchange(const Run& run, const std::vector<ParameterTensor>& tensors,
                    BodyWriter& writer) {
  const ExchangeFunction exchange = optimizer_of(run).exchange;
  OptimizerExchange sum;
  for (const ParameterTensor& tensor : tensors) {
    const OptimizerExchange one = exchange != nullptr ? exchange(tensor) : OptimizerExchange{};
    sum.gathered += one.gathered;
    sum.reduced += one.reduced;
  }
  const bool is_sharded = run.shards() > 1;
  // The communicator of gradients, which is at rest: gathers may be under way on the other one.
  const std::uint32_t group = run.shards() < run.holders() ? kShardGroup : kDataGroup;
  if (is_sharded && sum.gathered > 0) {
    writer.op(kCompute, "optimizer all-gather",
              Collective{CollectiveKind::all_gather, group, Bytes(sum.gathered)});
  }
  if (is_sharded && sum.reduced > 0) {
    writer.op(kCompute, "optimizer all-reduce",
              Collective{CollectiveKind::all_reduce, group, Bytes(sum.reduced)});
  }
  if (run.parallel.tensor > 1 && sum.reduced > 0) {
    writer.op(kCompute, "optimizer all-reduce",
              Collective{CollectiveKind::all_reduce, kTensorGroup, Bytes(sum.reduced)});
  }
}

void write_steps(const std::vector<Step>& steps, BodyWriter& writer) {
  for (const Step& step : steps) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      writer.kernel(step.name, *gemm);
    } else if (const auto* memory = std::get_if<MemoryBound>(&step.what)) {
      writer.kernel(step.name, *memory);
    }
  }
}

// A rank works on the matrices of which its shard holds a part: at least one of each shape.
void write_kernels(const Run& run, const std::vector<ParameterTensor>& tensors,
                   BodyWriter& writer) {
  const KernelsFunction kernels = optimizer_of(run).kernels;
  if (kernels == nullptr) {
    return;
  }
  for (const ParameterTensor& tensor : tensors) {
    const std::int64_t matrices = tensor.count * tensor.batch;
    std::int64_t rest = (matrices + run.shards() - 1) / run.shards();
    while (rest > 0) {
      const std::int64_t batch = std::min(rest, tensor.batch);
      write_steps(kernels(tensor, batch), writer);
      rest -= batch;
    }
  }
}

// 16-bit copies on every rank: what stays gathered, and the secondary shard that backward gathers
// from: 2 psi / g (Wang et al. 2023, ZeRO++, section 3.2).
Bytes gathered_copies(const Run& run, const StageShape& shape) {
  const auto persistent = static_cast<double>(persistent_parameters(run, shape));
  const double secondary = run.sharding.secondary_shard
                               ? static_cast<double>(shape.parameters) /
                                     static_cast<double>(*run.sharding.secondary_shard)
                               : 0;
  return whole(persistent + secondary, gathered_size(run));
}

}  // namespace

Bytes own_update_traffic(const Run& run, const StageShape& shape) {
  return Bytes(average(optimizer_of(run).traffic, trained_tensors(run, shape), state_sizes(run)));
}

std::vector<ParameterTensor> trained_tensors(const Run& run, const StageShape& shape) {
  std::vector<ParameterTensor> tensors;
  if (shape.has_embedding && shape.embedding.trained() > 0) {
    tensors.push_back({TensorKind::embedding, shape.embedding.trained() / run.model.hidden,
                       run.model.hidden, 1, 1});
  }
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    if (const std::int64_t count = shape.num_layers_of(kind); count > 0) {
      append_tensors(shape.kinds[kind].work, TensorKind::matrix, count, tensors);
    }
  }
  if (shape.has_head) {
    append_tensors(shape.head, TensorKind::head, 1, tensors);
  }
  return tensors;
}

// Frozen weights need no master copy: they are held in the precision of training, or quantised.
Bytes frozen_bytes(const Run& run, const StageShape& shape) {
  const double wide = std::max(Bytes(2), size_of(run.training.precision)).value;
  const auto& format = run.training.tuning.weights;
  const double bytes = static_cast<double>(shape.frozen - shape.quantised) * wide +
                       static_cast<double>(shape.quantised) * (format ? format->bytes : wide);
  const double ranks = run.parallel.zero == 3 ? static_cast<double>(run.shards()) : 1.0;
  return Bytes(std::ceil(bytes / ranks));
}

Bytes parameter_bytes(const Run& run) { return Bytes(state_sizes(run).parameter); }

Bytes optimizer_state_bytes(const Run& run, const StageShape& shape) {
  const std::vector<ParameterTensor> tensors = trained_tensors(run, shape);
  const StateSizes sizes = state_sizes(run);
  double bytes = sizes.master + average(optimizer_of(run).state, tensors, sizes);
  if (const double said = run.stack.optimizer_state_bytes.value; said > 0) {
    const StateSizes of_stack = state_sizes_of_stack(run);
    bytes += said - (of_stack.master + average(adam_state, tensors, of_stack));
  }
  return Bytes(std::max(0.0, bytes));
}

Bytes update_traffic(const Run& run, const StageShape& shape) {
  const std::vector<ParameterTensor> tensors = trained_tensors(run, shape);
  const double own = average(optimizer_of(run).traffic, tensors, state_sizes(run));
  const double adams = average(adam_traffic, tensors, state_sizes_of_stack(run));
  const double said = run.stack.optimizer_bytes.value;
  return Bytes(std::max(std::min(own, said), said + (own - adams)));
}

void hold_model_states(const Run& run, const StageShape& shape, BodyWriter& writer) {
  const double count = static_cast<double>(shape.trained());
  const double shard = updated(run, shape);
  const bool is_away = run.offload.optimizer;  // on the host
  writer.resident(MemoryClass::parameters,
                  run.offload.parameters
                      ? Bytes(0)
                      : whole(run.parallel.zero == 3 ? shard : count, parameter_bytes(run)));
  if (const Bytes copies = gathered_copies(run, shape); copies > Bytes(0)) {
    writer.resident(MemoryClass::parameters, copies);
  }
  if (const Bytes frozen = frozen_bytes(run, shape); frozen > Bytes(0)) {
    writer.resident(MemoryClass::parameters, frozen);
  }
  if (is_away && shards_gradients(run)) {  // one bucket fills while another leaves
    writer.resident(MemoryClass::gradients,
                    std::min(2.0 * gradient_bucket(run), whole(count, gradient_size(run))));
  } else {
    writer.resident(MemoryClass::gradients,
                    whole(shards_gradients(run) ? shard : count, gradient_size(run)));
  }
  if (const Bytes copy = main_gradient_bytes(run); copy > Bytes(0)) {
    writer.resident(MemoryClass::gradients, whole(shard, copy));
  }
  writer.resident(MemoryClass::optimizer,
                  is_away ? Bytes(0) : whole(shard, optimizer_state_bytes(run, shape)));
  if (run.sharding.averages()) {  // outer parameters and their momentum, in fp32
    writer.resident(MemoryClass::optimizer,
                    whole(count / static_cast<double>(run.summed_replicas()), Bytes(8)));
  }
  writer.host(host_bytes(run, shape));
  writer.resident(MemoryClass::context, run.stack.context.value);
  if (run.stack.communicators.value > Bytes(0) && run.num_gpus() > 1) {
    writer.resident(MemoryClass::communicators, run.stack.communicators.value);
  }
  writer.allocator_slack(run.stack.allocator_slack.value);
}

void sum_tied_embedding(const Run& run, const StageShape& shape, BodyWriter& writer) {
  const bool is_shared = shares_embedding(run.model) && run.parallel.pipeline > 1 &&
                         !is_frozen(run, ModelPart::embedding);
  if (is_shared && shape.has_embedding != shape.has_head) {
    const std::int64_t rows =
        padded_vocabulary(run.model.vocabulary, run.parallel.tensor) / run.parallel.tensor;
    const Bytes payload = static_cast<double>(rows * run.model.hidden) * gradient_size(run);
    writer.op(kCompute, "tied embedding all-reduce",
              Collective{CollectiveKind::all_reduce, kEmbeddingGroup, payload});
  }
}

void write_update(const Run& run, const StageShape& shape, BodyWriter& writer) {
  if (shape.trained() == 0) {
    return;
  }
  if (shape.repeated > 0 && run.parallel.tensor > 1) {
    const Bytes payload = static_cast<double>(shape.repeated) * gradient_size(run);
    writer.op(kCompute, "adapter gradient all-reduce",
              Collective{CollectiveKind::all_reduce, kTensorGroup, payload});
  }
  writer.label("gradient norm");
  // With ZeRO-1 each rank norms its shard, and the replicas' parts are summed with the stages'.
  const double norm_bytes = updated(run, shape) * gradient_size(run).value;
  writer.kernel("gradient norm", MemoryBound{MemoryOp::streaming, Bytes(norm_bytes)});
  if (const auto group = norm_group(run)) {  // ZeRO's own sum of one number is left out
    writer.op(kCompute, "gradient norm all-reduce",
              Collective{CollectiveKind::all_reduce, *group, Bytes(4)});
  }
  if (run.offload.optimizer) {
    return;
  }
  writer.label("optimizer");
  const std::vector<ParameterTensor> tensors = trained_tensors(run, shape);
  write_exchange(run, tensors, writer);
  write_kernels(run, tensors, writer);
  const double bytes = updated(run, shape) * update_traffic(run, shape).value;
  writer.kernel("optimizer", MemoryBound{MemoryOp::streaming, Bytes(bytes)});
}

}  // namespace foretrain
