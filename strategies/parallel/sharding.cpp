// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/sharding.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "strategies/stage.hpp"

namespace foretrain {
namespace {

/// Parameters of a unit by tensor: its matrices are those that its forward products read, and what
/// is left are norms and biases.
struct Tensors {
  std::vector<std::int64_t> matrices;
  std::int64_t vectors = 0;         // parameters of all of them
  std::int64_t largest_vector = 0;  // a bias of the widest product
};

Tensors tensors_of(const Work& work, std::int64_t parameters) {
  Tensors tensors;
  tensors.vectors = parameters;
  for (const Step& step : work.forward) {
    const auto* gemm = std::get_if<Gemm>(&step.what);
    if (gemm == nullptr || step.is_attention_core) {
      continue;
    }
    if (gemm->is_grouped && work.expert_parameters > 0) {  // elsewhere
      continue;
    }
    const std::int64_t copies = gemm->is_grouped ? gemm->batch : 1;
    if (copies * gemm->n * gemm->k <= tensors.vectors) {
      tensors.matrices.push_back(copies * gemm->n * gemm->k);
      tensors.vectors -= tensors.matrices.back();
      tensors.largest_vector = std::max(tensors.largest_vector, copies * gemm->n);
    }
  }
  tensors.largest_vector = std::min(tensors.largest_vector, tensors.vectors);
  if (tensors.matrices.empty() && tensors.vectors > 0) {  // a table that is looked up
    tensors.matrices.push_back(std::exchange(tensors.vectors, 0));
  }
  return tensors;
}

// Biases, and what two norms have.
std::int64_t num_vectors(const Model& model, const Tensors& tensors) {
  if (tensors.vectors == 0) {
    return 0;
  }
  return (model.qkv_bias ? 1 : 0) + (model.attention_output_bias ? 1 : 0) +
         (model.mlp_bias ? 2 : 0) + (model.norm == NormKind::layer_norm ? 4 : 2);
}

bool gathers_by_tensor(const Run& run) {
  return run.parallel.zero == 3 &&
         run.sharding.gather_by_tensor.value_or(run.stack.gather_by_tensor);
}

}  // namespace

bool overlaps_gradients(const Run& run) {
  return run.sharding.overlap_gradients.value_or(run.stack.overlap_gradients);
}

bool overlaps_parameters(const Run& run) {
  return run.sharding.overlap_parameters.value_or(run.stack.overlap_parameters);
}

Bytes gradient_bucket(const Run& run) {
  return run.sharding.gradient_bucket.value_or(run.stack.bucket.value);
}

bool shards_gradients(const Run& run) {
  return run.parallel.zero >= 2 && run.parallel.pipeline == 1 &&
         run.sharding.reduce_every_micro_batch.value_or(true);
}

bool reduces_every_micro_batch(const Run& run) {
  return run.sharding.reduce_every_micro_batch.value_or(shards_gradients(run));
}

bool reshards_after_forward(const Run& run) {
  return run.sharding.reshard_after_forward.value_or(run.parallel.pipeline == 1);
}

std::int64_t GatherUnit::gathered() const {
  return std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0});
}

GatherUnit whole_unit(std::int64_t parameters) {
  GatherUnit unit;
  if (parameters > 0) {
    unit.pieces.push_back(parameters);
    unit.tensors = 1;
  }
  return unit;
}

GatherUnit gather_unit(const Run& run, const Work& work, std::int64_t parameters) {
  const Tensors tensors = tensors_of(work, parameters);
  const auto stays = [&](std::int64_t elements) {
    return static_cast<double>(elements) * gathered_size(run) <= run.sharding.persistence_threshold;
  };
  GatherUnit unit;
  unit.tensors =
      static_cast<std::int64_t>(tensors.matrices.size()) + num_vectors(run.model, tensors);
  for (const std::int64_t matrix : tensors.matrices) {
    if (stays(matrix)) {
      unit.persistent += matrix;
    } else {
      unit.pieces.push_back(matrix);
    }
  }
  if (stays(tensors.largest_vector) && tensors.largest_vector > 0) {
    unit.persistent += tensors.vectors;
  } else if (unit.pieces.empty()) {
    unit.pieces.push_back(tensors.vectors);
  } else {  // with the matrix that they belong to
    unit.pieces.front() += tensors.vectors;
  }
  if (!gathers_by_tensor(run) && unit.pieces.size() > 1) {
    unit.pieces = {unit.gathered()};
  }
  std::erase(unit.pieces, 0);
  return unit;
}

std::int64_t persistent_parameters(const Run& run, const StageShape& shape) {
  if (run.parallel.zero < 3 || run.sharding.persistence_threshold == Bytes(0)) {
    return 0;
  }
  const auto persistent = [&](const Work& work) {
    return gather_unit(run, work, work.parameters - work.expert_parameters).persistent;
  };
  std::int64_t sum = 0;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    sum += shape.num_layers_of(kind) * persistent(shape.kinds[kind].work);
  }
  sum += shape.has_embedding ? persistent(shape.embedding) : 0;
  sum += shape.has_head ? persistent(shape.head) : 0;
  return sum;
}

}  // namespace foretrain
