// Sends and receives between the stages of a pipeline, each direction on streams of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/parallel/tensor.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

class PipelineTransfer {
 public:
  /// REQUIRES: all outlive this.
  PipelineTransfer(const Run& run, BodyWriter& writer, TensorParallel& tensor);

  /// The compute stream waits for the activation (forward) or gradient (backward) of a slot.
  void receive(Direction direction);
  /// What the compute stream has made so far goes to the neighbour.
  void send(Direction direction);

 private:
  struct Way {
    StreamIndex send = kCompute;
    StreamIndex receive = kCompute;
  };
  [[nodiscard]] Way& way(Direction direction) {
    return direction == Direction::forward ? forward_ : backward_;
  }

  const Run& run_;
  BodyWriter& writer_;
  TensorParallel& tensor_;
  Bytes payload_;
  Way forward_;
  Way backward_;
};

}  // namespace foretrain
