// Sends and receives between the stages of a pipeline, each direction on streams of its own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/compress/wire.hpp"
#include "strategies/parallel/tensor.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

class PipelineTransfer {
 public:
  /// REQUIRES: all outlive this.
  PipelineTransfer(const Run& run, BodyWriter& writer, TensorParallel& tensor);

  /// The compute stream waits for the activation (forward) or gradient (backward) of a slot:
  /// `stream` is the whole of it, of which a rank may send a share.
  void receive(Direction direction, Bytes stream);
  /// What the compute stream has made so far goes to the neighbour.
  void send(Direction direction, Bytes stream);

 private:
  struct Way {
    StreamIndex send = kCompute;
    StreamIndex receive = kCompute;
  };
  [[nodiscard]] Way& way(Direction direction) {
    return direction == Direction::forward ? forward_ : backward_;
  }

  [[nodiscard]] Bytes payload(Bytes stream) const;

  const Run& run_;
  BodyWriter& writer_;
  CompressedWire wire_;
  TensorParallel& tensor_;
  Way forward_;
  Way backward_;
};

}  // namespace foretrain
