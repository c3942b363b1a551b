// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/layouts.hpp"

#include <algorithm>
#include <array>
#include <variant>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "strategies/parallel/states.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

constexpr std::array<std::int64_t, 4> kMicroBatches = {1, 2, 4, 8};
constexpr std::int64_t kMostStages = 64;
constexpr std::int64_t kLongSequence = 32'768;  // tokens from which context parallelism is tried

bool divides(std::int64_t divisor, std::int64_t number) { return number % divisor == 0; }

// Degrees within a node that split heads and the MLP evenly.
std::vector<std::int64_t> tensor_degrees(const Run& run) {
  std::vector<std::int64_t> degrees;
  for (std::int64_t t = 1; t <= run.cluster.gpus_per_node; ++t) {
    const Model& model = run.model;
    const bool has_kv = divides(t, model.kv_heads) || divides(model.kv_heads, t);
    if (divides(t, run.cluster.gpus_per_node) && divides(t, model.heads) && has_kv &&
        divides(t, model.ffn) && divides(t, run.training.sequence_length)) {
      degrees.push_back(t);
    }
  }
  return degrees;
}

std::vector<std::int64_t> divisors(std::int64_t number, std::int64_t most) {
  std::vector<std::int64_t> all;
  for (std::int64_t d = 1; d <= std::min(number, most); ++d) {
    if (divides(d, number)) {
      all.push_back(d);
    }
  }
  return all;
}

std::vector<std::int64_t> context_degrees(const Run& run) {
  std::vector<std::int64_t> degrees = {1};
  const bool is_flash = flash_version(run.stack.kernels.attention).has_value();
  for (std::int64_t c = 2; is_flash && run.training.sequence_length / c >= kLongSequence / 4 &&
                           run.training.sequence_length >= kLongSequence;
       c *= 2) {
    degrees.push_back(c);
  }
  return degrees;
}

// Of a mixture of experts: none, a node's worth, one expert per rank.
std::vector<std::int64_t> expert_degrees(const Run& run, std::int64_t replicas) {
  std::vector<std::int64_t> degrees = {1};
  if (run.model.moe) {
    for (std::int64_t e = 2; e <= run.model.moe->experts; e *= 2) {
      if (divides(e, run.model.moe->experts) && divides(e, replicas)) {
        degrees.push_back(e);
      }
    }
  }
  return degrees;
}

// Chunks per stage: one, two, one layer in each; interleaving takes micro-batches by rounds.
std::vector<std::int64_t> chunk_counts(std::int64_t layers, std::int64_t pipeline,
                                       std::int64_t micro_batches) {
  std::vector<std::int64_t> counts = {1};
  const std::int64_t of_stage = layers / pipeline;
  if (pipeline > 1 && divides(pipeline, micro_batches)) {
    for (const std::int64_t v : {std::int64_t{2}, of_stage / 2, of_stage}) {
      if (v > counts.back() && divides(v, of_stage)) {
        counts.push_back(v);
      }
    }
  }
  return counts;
}

std::vector<Recompute> policies(const Run& run) {
  // Flash attention keeps no scores: there is nothing that the selective policy would drop.
  return flash_version(run.stack.kernels.attention)
             ? std::vector{Recompute::none, Recompute::full}
             : std::vector{Recompute::none, Recompute::selective, Recompute::full};
}

void lay_out(const PlanLayout& layout, Run& run) {
  run.gpus = layout.gpus;
  run.nodes = std::max<std::int64_t>(1, layout.gpus / run.cluster.gpus_per_node);
  run.parallel.tensor = layout.tensor;
  run.parallel.pipeline = layout.pipeline;
  run.parallel.virtual_stages = layout.virtual_stages;
  run.parallel.context = layout.context;
  run.parallel.experts.degree = layout.expert;
  run.parallel.zero = layout.zero;
  run.parallel.sequence_parallel = layout.tensor > 1;
  run.parallel.shard.reset();
  run.parallel.stage_layers.clear();
  run.training.micro_batch = layout.micro_batch;
  run.training.recompute = layout.recompute;
}

Seconds kernels_on(const Gpu& gpu, const std::vector<Step>& steps) {
  Seconds sum;
  for (const Step& step : steps) {
    std::visit(
        [&](const auto& what) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(what)>, Boundary>) {
            sum += kernel_time(Kernel{NameId(0), what}, gpu);
          }
        },
        step.what);
  }
  return sum;
}

/// Seconds of the steps of a layer, on the slowest kind of node.
class StepTimes {
 public:
  explicit StepTimes(const Run& run) : run_(run) {}

  Seconds kernels(const std::vector<Step>& steps) const {
    Seconds slowest;
    for (const Cluster* kind : run_.cluster.kinds()) {
      slowest = std::max(slowest, kernels_on(kind->gpu, steps));
    }
    return slowest;
  }

  // Sums over the tensor-parallel group: a reduce-scatter and an all-gather of the stream each.
  Seconds boundaries(const std::vector<Step>& steps, const Work& work) const {
    const auto t = static_cast<double>(run_.parallel.tensor);
    double count = 0;
    for (const Step& step : steps) {
      const auto* const boundary = std::get_if<Boundary>(&step.what);
      count += boundary != nullptr && (*boundary == Boundary::enter_tensor_parallel ||
                                       *boundary == Boundary::leave_tensor_parallel)
                   ? 1
                   : 0;
    }
    const Interconnect& node = run_.cluster.node;
    const Bytes stream = size_of(run_.training.precision) * work.stream_elements;
    return stream * (count * (t - 1) / t) / (node.rate.value * node.achieved.value);
  }

 private:
  const Run& run_;
};

/// One micro-batch in the first stage.
struct StageTimes {
  Seconds forward_and_backward;
  Seconds tensor;
};

StageTimes stage_times(const Run& run, const StageShape& shape) {
  const StepTimes times(run);
  StageTimes sum;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const LayerShape& layer = shape.kinds[kind];
    const auto layers = static_cast<double>(shape.num_layers_of(kind));
    if (layers > 0) {
      sum.forward_and_backward +=
          (times.kernels(layer.work.forward) + times.kernels(layer.work.backward) +
           times.kernels(layer.recomputed)) *
          layers;
      sum.tensor += (times.boundaries(layer.work.forward, layer.work) +
                     times.boundaries(layer.work.backward, layer.work) +
                     times.boundaries(layer.recomputed, layer.work)) *
                    layers;
    }
  }
  if (shape.has_head) {
    sum.forward_and_backward +=
        times.kernels(shape.head.forward) + times.kernels(shape.head.backward);
  }
  return sum;
}

BytesPerSecond replica_rate(const Run& run) {
  const Cluster& cluster = run.cluster;
  const bool is_inside = run.num_gpus() <= cluster.gpus_per_node;
  const double share =
      static_cast<double>(cluster.nics_per_node) / static_cast<double>(cluster.gpus_per_node);
  return is_inside ? cluster.node.rate.value * cluster.node.achieved.value
                   : cluster.fabric.rate.value * cluster.fabric.achieved.value * share;
}

// Gradients and parameters of a step; what backward hides of them is a guess.
Seconds replica_time(const Run& run, const StageShape& shape, Seconds computing) {
  constexpr double kHidden = 0.7;
  const double ranks = static_cast<double>(run.replicas());
  const double share = (ranks - 1) / ranks;
  const Bytes per_parameter = gradient_size(run) + gathered_size(run);
  Bytes sent = per_parameter * (static_cast<double>(shape.parameters) * share);
  if (run.parallel.zero == 3) {
    sent = sent * (1.5 * static_cast<double>(run.num_micro_batches()));
  }
  const Seconds time = sent / replica_rate(run);
  return std::max(time * (1 - kHidden), time - computing);
}

Seconds guess_time(const Run& run, const StageShape& shape) {
  const StageTimes times = stage_times(run, shape);
  const Seconds one =
      times.forward_and_backward + times.tensor * (run.stack.overlap_tensor_parallel ? 0.5 : 1.0);
  const auto m = static_cast<double>(run.num_micro_batches());
  const double bubble = static_cast<double>(run.parallel.pipeline - 1) /
                        static_cast<double>(run.parallel.virtual_stages);
  const Seconds computing = one * m;
  return one * (m + bubble) + replica_time(run, shape, computing);
}

// In micro-batches of a whole stage.
double in_flight(const Run& run) {
  const auto m = static_cast<double>(run.num_micro_batches());
  const auto p = static_cast<double>(run.parallel.pipeline);
  const auto v = static_cast<double>(run.parallel.virtual_stages);
  return v > 1 ? std::min(m, ((v - 1) * p + 2 * (p - 1) + 1) / v) : std::min(m, p);
}

Bytes guess_memory(const Run& run, const StageShape& shape) {
  const auto parameters = static_cast<double>(shape.parameters);
  const auto shards = static_cast<double>(run.shards());
  const Bytes parameter = size_of(run.training.precision);
  const Bytes states = Bytes(12);  // master copy, momentum, variance in fp32
  Bytes bytes = run.stack.context.value + run.stack.communicators.value;
  bytes += (parameter / (run.parallel.zero == 3 ? shards : 1) +
            gradient_size(run) / (run.parallel.zero >= 2 ? shards : 1) + states / shards) *
           parameters;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const LayerShape& layer = shape.kinds[kind];
    bytes += layer.kept * (static_cast<double>(shape.num_layers_of(kind)) * in_flight(run));
  }
  if (shape.has_head) {
    const std::int64_t tokens = run.training.sequence_length / run.parallel.context;
    const double rows = static_cast<double>(run.training.micro_batch) * static_cast<double>(tokens);
    bytes += Bytes(6) * (rows * static_cast<double>(run.model.vocabulary) /
                         static_cast<double>(run.parallel.tensor));
  }
  if (!shape.kinds.empty() && run.training.recompute == Recompute::full) {
    bytes += shape.kinds.front().saved;  // of the layer that is being computed again
  }
  return bytes;
}

/// Visits layouts that share tensor, pipeline and context degree.
class Guesses {
 public:
  Guesses(const Run& run, BatchRule rule)
      : run_(run), batch_(run.training.global_batch), rule_(rule) {}

  void add(PlanLayout layout) {
    const std::int64_t data = layout.data();
    for (const std::int64_t micro_batch : kMicroBatches) {
      layout.micro_batch = micro_batch;
      if (rule_ == BatchRule::open) {
        run_.training.global_batch = 2 * micro_batch * data * layout.pipeline;
      } else if (!divides(micro_batch * data, batch_)) {
        continue;
      }
      for (const std::int64_t expert : expert_degrees(run_, data * layout.context)) {
        layout.expert = expert;
        add_policies(layout, run_.training.global_batch / (micro_batch * data));
      }
    }
  }
  std::vector<GuessedLayout> take() { return std::move(all_); }

 private:
  void add_policies(PlanLayout layout, std::int64_t micro_batches) {
    const std::int64_t replicas = layout.data() * layout.context;
    for (const std::int64_t chunks :
         chunk_counts(run_.model.layers, layout.pipeline, micro_batches)) {
      layout.virtual_stages = chunks;
      for (const Recompute recompute : policies(run_)) {
        layout.recompute = recompute;
        layout.zero = replicas > 1 ? 1 : 0;
        add_one(layout);
        if (replicas > 1 && layout.pipeline == 1) {
          layout.zero = 3;
          add_one(layout);
        }
      }
    }
  }
  void add_one(const PlanLayout& layout) {
    lay_out(layout, run_);
    const StageShape shape = stage_shape(run_, 0);
    all_.push_back({layout, guess_time(run_, shape), guess_memory(run_, shape)});
  }

  Run run_;
  std::int64_t batch_;
  BatchRule rule_;
  std::vector<GuessedLayout> all_;
};

}  // namespace

std::vector<std::string> PlanLayout::sets() const {
  return {fmt::format("gpus={}", gpus),
          fmt::format("parallel.tensor={}", tensor),
          fmt::format("parallel.sequence_parallel={}", tensor > 1),
          fmt::format("parallel.pipeline={}", pipeline),
          fmt::format("parallel.virtual_stages={}", virtual_stages),
          fmt::format("parallel.context={}", context),
          fmt::format("parallel.expert={}", expert),
          fmt::format("parallel.zero={}", zero),
          fmt::format("training.micro_batch={}", micro_batch),
          fmt::format("training.recompute={}", recompute_policy(recompute).name)};
}

std::string PlanLayout::text() const {
  std::string text = fmt::format("t{} p{}", tensor, pipeline);
  text += virtual_stages > 1 ? fmt::format("x{}", virtual_stages) : "";
  text += context > 1 ? fmt::format(" c{}", context) : "";
  text += fmt::format(" d{}", data());
  text += expert > 1 ? fmt::format(" e{}", expert) : "";
  text += fmt::format(" mb{} zero{}", micro_batch, zero);
  return text +
         (recompute == Recompute::none ? "" : fmt::format(" {}", recompute_policy(recompute).name));
}

Seconds layer_time(const Run& run, const Gpu& gpu) {
  const StageShape shape = stage_shape(run, 0);
  Seconds sum;
  double layers = 0;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const LayerShape& layer = shape.kinds[kind];
    const auto count = static_cast<double>(shape.num_layers_of(kind));
    sum += (kernels_on(gpu, layer.work.forward) + kernels_on(gpu, layer.work.backward)) * count;
    layers += count;
  }
  return sum / layers;
}

Bytes memory_of_gpu(const Cluster& cluster) {
  Bytes least = cluster.kinds().front()->gpu.memory.value;
  for (const Cluster* kind : cluster.kinds()) {
    least = std::min(least, kind->gpu.memory.value);
  }
  return least;
}

std::vector<GuessedLayout> guess_layouts(const Run& run, std::int64_t gpus, BatchRule rule) {
  Guesses guesses(run, rule);
  for (const std::int64_t tensor : tensor_degrees(run)) {
    for (const std::int64_t pipeline : divisors(run.model.layers, kMostStages)) {
      for (const std::int64_t context : context_degrees(run)) {
        PlanLayout layout;
        layout.gpus = gpus;
        layout.tensor = tensor;
        layout.pipeline = pipeline;
        layout.context = context;
        if (divides(tensor * pipeline * context, gpus)) {
          guesses.add(layout);
        }
      }
    }
  }
  std::vector<GuessedLayout> all = guesses.take();
  std::stable_sort(all.begin(), all.end(),
                   [](const GuessedLayout& a, const GuessedLayout& b) { return a.step < b.step; });
  return all;
}

}  // namespace foretrain
