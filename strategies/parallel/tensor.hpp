// Tensor parallelism, with or without sequence parallelism: which collectives stand at the ends of
// a tensor-parallel region, and what they can hide behind.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <utility>

#include "strategies/compress/wire.hpp"
#include "strategies/parallel/context.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// Megatron's conjugate operators (Shoeybi et al. 2019; with sequence parallelism Korthikanti et
/// al. 2022, section 4.2.2): an all-reduce at one end per direction, or a gather and a scatter.
[[nodiscard]] std::optional<CollectiveKind> boundary_collective(Boundary boundary,
                                                                Direction direction,
                                                                bool sequence_parallel);

/// Writes the steps of blocks into the compute stream with their collectives.
class TensorParallel {
 public:
  /// REQUIRES: run and writer outlive this.
  TensorParallel(const Run& run, BodyWriter& writer);

  /// `stream` is what the steps' boundaries send: the whole residual stream (stream_bytes).
  void write(const std::vector<Step>& steps, Direction direction, Bytes stream);
  /// REQUIRES: outlives this. Keys and values of other ranks' tokens come and go around the
  /// attention core.
  void set_context(ContextParallel* context) { context_ = context; }
  /// REQUIRES: outlives this. Tokens travel to experts and back.
  void set_experts(ExpertParallel* experts) { experts_ = experts; }
  /// Between the two calls nothing has a stream of its own: who weaves two passes hides it, and one
  /// communicator is not used on two streams at once.
  void begin_pair() { paired_.emplace(std::exchange(stream_, kCompute)); }
  void end_pair() { stream_ = *std::exchange(paired_, std::nullopt); }
  /// Gathers a scattered activation, in all this large, on arrival from another stage.
  void gather(Bytes stream);

 private:
  void write_step(const Step& step, Direction direction);
  void write_boundary(Boundary boundary, Direction direction);
  void write_overlapped(CollectiveKind kind);
  void gather_logits(Direction direction);
  void sum_loss(Direction direction);
  void collective(StreamIndex stream, CollectiveKind kind);
  void collective(StreamIndex stream, CollectiveKind kind, Bytes payload);
  void write_partly_hidden(CollectiveKind kind, bool is_input_gradient);

  const Run& run_;
  BodyWriter& writer_;
  CompressedWire wire_;
  ContextParallel* context_ = nullptr;
  ExpertParallel* experts_ = nullptr;
  StreamIndex stream_ = kCompute;
  std::optional<StreamIndex> paired_;  // the stream outside of a pair
  Bytes sent_;                         // at a boundary of what is being written
};

}  // namespace foretrain
