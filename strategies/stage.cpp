// SPDX-License-Identifier: Apache-2.0
#include "strategies/stage.hpp"

#include <algorithm>

#include "strategies/parallel/expert.hpp"
#include "strategies/recompute/recompute.hpp"
#include "strategies/stage_layers.hpp"

namespace foretrain {
namespace {

// Of the head's and the embedding's parameters a rank counts each once, also when it has both.
void count(const Work& work, StageShape& shape) {
  shape.parameters += work.parameters;
  shape.expert_parameters += work.expert_parameters;
  shape.frozen_experts += work.frozen_experts;
  shape.frozen += work.frozen;
  shape.quantised += work.quantised;
  shape.repeated += work.repeated;
}

void count_parameters(StageShape& shape) {
  for (std::int32_t chunk = 0; chunk < static_cast<std::int32_t>(shape.chunks); ++chunk) {
    for (std::int64_t i = 0; i < shape.layers_in(chunk); ++i) {
      count(shape.layer(shape.layer_number(chunk, i)).work, shape);
    }
  }
  if (shape.has_embedding) {
    count(shape.embedding, shape);
  }
  if (shape.has_head) {
    count(shape.head, shape);
  }
}

LayerShape layer_shape(const Run& run, std::size_t kind) {
  LayerShape shape;
  shape.work = tuned(layer_work(run.model, shard_of(run), kind), tuning_of(run, ModelPart::layers));
  shape.split = split_backward(shape.work);
  shape.saved = saved_bytes(shape.work);
  const RecomputePolicy& policy = recompute_policy(run.training.recompute);
  shape.kept = policy.kept(run, shape.work);
  shape.recomputed = policy.again(run, shape.work);
  return shape;
}

}  // namespace

std::int64_t StageShape::num_layers_of(std::size_t kind) const {
  std::int64_t count = 0;
  for (std::int32_t chunk = 0; chunk < static_cast<std::int32_t>(chunks); ++chunk) {
    for (std::int64_t i = 0; i < layers_in(chunk); ++i) {
      count += kind_of_layer[static_cast<std::size_t>(layer_number(chunk, i))] == kind ? 1 : 0;
    }
  }
  return count;
}

Shard shard_of(const Run& run) {
  Shard shard;
  shard.micro_batch = run.training.micro_batch;
  shard.sequence = run.training.sequence_length / run.parallel.context;
  shard.context = run.parallel.context;
  shard.tensor = run.parallel.tensor;
  shard.sequence_parallel = run.parallel.sequence_parallel;
  shard.dtype = run.training.precision;
  shard.kernels = run.stack.kernels;
  shard.experts = {run.parallel.experts.degree, expert_tensor(run), expert_load(run),
                   run.training.expert_capacity.factor, run.training.expert_capacity.is_padded};
  shard.kernels.weight_gradient_output_bytes =
      run.stack.accumulation == Accumulation::in_gemm ? 2 * gradient_size(run).value : 2;
  return shard;
}

StageShape stage_shape(const Run& run, std::int64_t stage) {
  const Shard shard = shard_of(run);
  StageShape shape;
  shape.stage = stage;
  shape.stages = run.parallel.pipeline;
  shape.chunks = run.parallel.virtual_stages;
  const PipelineShape pipeline = run.pipeline_shape();
  shape.num_places = num_places(run.placement(), pipeline);
  for (std::int64_t chunk = 0; chunk < shape.chunks; ++chunk) {
    const std::int64_t place = place_of(run.placement(), pipeline, static_cast<std::int32_t>(stage),
                                        static_cast<std::int32_t>(chunk));
    shape.places.push_back(place);
    shape.has_embedding = shape.has_embedding || place == 0;
    shape.has_head = shape.has_head || place == shape.num_places - 1;
    shape.layers.push_back(layers_of(run, stage, chunk));
    shape.layers_before.push_back(first_layer_of(run, stage, chunk));
  }
  shape.embedding = tuned(embedding_work(run.model, shard), tuning_of(run, ModelPart::embedding));
  for (std::size_t kind = 0; kind < num_layer_kinds(run.model); ++kind) {
    shape.kinds.push_back(layer_shape(run, kind));
  }
  shape.kind_of_layer.reserve(static_cast<std::size_t>(run.model.layers));
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    shape.kind_of_layer.push_back(layer_kind(run.model, layer));
  }
  shape.head =
      tuned(head_work(run.model, shard, shape.has_embedding), tuning_of(run, ModelPart::head));
  count_parameters(shape);
  return shape;
}

// fp8 is for GEMM inputs only.
Bytes stream_bytes(const Run& run, const Work& work) {
  return work.stream_elements * std::max(Bytes(2), size_of(run.training.precision));
}

}  // namespace foretrain
