// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/checkpoint.hpp"

#include "strategies/optimizer/optimizer.hpp"
#include "strategies/parallel/optimizer.hpp"
#include "strategies/parallel/states.hpp"
#include "strategies/stage.hpp"

namespace foretrain::goodput {
namespace {

// Of all tensors of a stage. What a framework keeps beside them in memory, such as a gradient, is
// not written: a stack's own number for the memory does not count here.
Bytes optimizer_bytes(const Run& run, const StageShape& shape) {
  const StateSizes sizes = state_sizes(run);
  const OptimizerAlgorithm& algorithm = optimizer(run.training.optimizer);
  Bytes bytes;
  for (const ParameterTensor& tensor : trained_tensors(run, shape)) {
    bytes += Bytes(algorithm.state(tensor, sizes) + tensor.elements() * sizes.master);
  }
  return bytes;
}

}  // namespace

CheckpointSize checkpoint_size(const Run& run) {
  double held = 0;
  double trained = 0;
  double elements = 0;
  Bytes optimizer;
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    const StageShape shape = stage_shape(run, stage);
    held += static_cast<double>(shape.parameters);
    trained += static_cast<double>(shape.trained());
    for (const ParameterTensor& tensor : trained_tensors(run, shape)) {
      elements += tensor.elements();
    }
    optimizer += optimizer_bytes(run, shape);
  }
  CheckpointSize size;
  size.parameters = static_cast<double>(parameters(run.model)) * (trained / held);
  size.parameter = parameter_bytes(run);
  size.optimizer = elements > 0 ? optimizer / elements : Bytes(0);
  return size;
}

}  // namespace foretrain::goodput
