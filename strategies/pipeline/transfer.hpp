// Sends and receives between the stages of a pipeline, each direction on streams of its own; where
// chunks lie there and back along the stages, each way too.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

#include "strategies/compress/wire.hpp"
#include "strategies/parallel/tensor.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

class PipelineTransfer {
 public:
  /// REQUIRES: all outlive this.
  PipelineTransfer(const Run& run, std::int64_t stage, BodyWriter& writer, TensorParallel& tensor);

  /// The compute stream waits for the activation (forward) or gradient (backward) of a slot of a
  /// chunk: `stream` is the whole of it, of which a rank may send a share. Nothing at the ends of
  /// the model, and where one chunk of a stage hands to the other.
  void receive(Direction direction, std::int32_t chunk, Bytes stream);
  /// What the compute stream has made so far goes to the neighbour, likewise.
  void send(Direction direction, std::int32_t chunk, Bytes stream);

 private:
  /// One kind of message along the stages, one way.
  struct Way {
    StreamIndex send = kCompute;
    StreamIndex receive = kCompute;
    std::uint32_t to = kNextStage;
    std::uint32_t from = kPreviousStage;
    std::uint32_t channel = 0;
  };
  [[nodiscard]] const Way& way(Direction direction, std::int32_t chunk) const {
    const std::size_t lane = goes_up(placement_, chunk) ? 0 : 2;
    return ways_[lane + (direction == Direction::forward ? 0 : 1)];
  }
  void add_ways(bool is_up, const std::string& name);
  /// Whether another stage has the place after a chunk's (or before it).
  [[nodiscard]] bool has_neighbour(std::int32_t chunk, bool is_after) const;
  [[nodiscard]] Bytes payload(Bytes stream) const;

  const Run& run_;
  BodyWriter& writer_;
  CompressedWire wire_;
  TensorParallel& tensor_;
  ChunkPlacement placement_;
  PipelineShape shape_;
  std::int32_t stage_;
  bool is_blocking_;
  std::array<Way, 4> ways_;  // activations and gradients of chunks that go up, then of others
};

}  // namespace foretrain
