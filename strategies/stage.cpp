// SPDX-License-Identifier: Apache-2.0
#include "strategies/stage.hpp"

#include <algorithm>
#include <cmath>

#include "strategies/parallel/expert.hpp"
#include "strategies/stage_layers.hpp"

namespace foretrain {
namespace {

std::int64_t in_layers(const StageShape& shape, std::int64_t Work::*count) {
  std::int64_t total = 0;
  for (std::int32_t chunk = 0; chunk < static_cast<std::int32_t>(shape.chunks); ++chunk) {
    for (std::int64_t i = 0; i < shape.layers_in(chunk); ++i) {
      total += shape.layer(shape.layer_number(chunk, i)).work.*count;
    }
  }
  return total;
}

// Of the head's and the embedding's parameters a rank counts each once, also when it has both.
std::int64_t parameters_of(const StageShape& shape) {
  std::int64_t total = in_layers(shape, &Work::parameters);
  if (shape.has_embedding) {
    total += shape.embedding.parameters;
  }
  if (shape.has_head) {
    total += shape.head.parameters;
  }
  return total;
}

LayerShape layer_shape(const Run& run, std::size_t kind) {
  LayerShape shape;
  shape.work = layer_work(run.model, shard_of(run), kind);
  shape.split = split_backward(shape.work);
  shape.saved = saved_bytes(shape.work);
  shape.kept = kept_per_layer(run, shape.work);
  shape.recomputed = recomputed_steps(run, shape.work);
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
  shape.embedding = embedding_work(run.model, shard);
  for (std::size_t kind = 0; kind < num_layer_kinds(run.model); ++kind) {
    shape.kinds.push_back(layer_shape(run, kind));
  }
  shape.kind_of_layer.reserve(static_cast<std::size_t>(run.model.layers));
  for (std::int64_t layer = 0; layer < run.model.layers; ++layer) {
    shape.kind_of_layer.push_back(layer_kind(run.model, layer));
  }
  shape.head = head_work(run.model, shard, shape.has_embedding);
  shape.parameters = parameters_of(shape);
  shape.expert_parameters = in_layers(shape, &Work::expert_parameters);
  return shape;
}

// fp8 is for GEMM inputs only.
Bytes stream_bytes(const Run& run, const Work& work) {
  return work.stream_elements * std::max(Bytes(2), size_of(run.training.precision));
}

Bytes saved_bytes(const Work& work) {
  Bytes total;
  for (const SavedTensor& tensor : work.saved) {
    total += tensor.bytes;
  }
  return Bytes(std::ceil(total.value));
}

bool shards_gradients(const Run& run) {
  return run.parallel.zero >= 2 && run.parallel.pipeline == 1;
}

bool is_recomputed(const Run& run, std::int64_t layer_number) {
  return run.training.recompute != Recompute::none &&
         layer_number % run.training.recompute_every == 0;
}

std::vector<Step> recomputed_steps(const Run& run, const Work& layer) {
  std::vector<Step> steps;
  bool is_kept = false;  // of the next product
  for (const Step& step : layer.forward) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    switch (run.training.recompute) {
      case Recompute::none:
        break;
      case Recompute::selective:
        if (step.is_attention_core) {
          steps.push_back(step);
        }
        break;
      case Recompute::operators:
        if (gemm != nullptr && !step.is_attention_core) {
          is_kept = !is_kept;
        }
        if ((gemm != nullptr && !is_kept) || std::holds_alternative<MemoryBound>(step.what)) {
          steps.push_back(step);
        }
        break;
      case Recompute::full:
        steps.push_back(step);
        break;
    }
  }
  return steps;
}

Bytes kept_per_layer(const Run& run, const Work& layer) {
  Bytes kept;
  switch (run.training.recompute) {
    case Recompute::none:
      return saved_bytes(layer);
    case Recompute::selective:
      for (const SavedTensor& tensor : layer.saved) {
        if (!tensor.is_attention_core) {
          kept += tensor.bytes;
        }
      }
      break;
    case Recompute::operators:  // every other product's output, and what flash attention needs
      kept = 0.5 * saved_bytes(layer);
      break;
    case Recompute::full:  // the layer's input
      kept = stream_bytes(run, layer) /
             (run.parallel.sequence_parallel ? static_cast<double>(run.parallel.tensor) : 1.0);
      break;
  }
  return Bytes(std::ceil(kept.value));
}

}  // namespace foretrain
