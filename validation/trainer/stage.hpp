// What one rank of a pipeline stage computes for a micro-batch: the embedding where it is the
// first stage, its layers, and the head and the loss where it is the last.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "validation/trainer/layer.hpp"

namespace foretrain::trainer {

/// The units of a stage in the order of forward.
[[nodiscard]] std::vector<Unit> stage_units(const Plan& plan, const Place& place);

class Stage {
 public:
  /// `in_flight`: micro-batches that are between forward and backward at a time. Everything that is
  /// referred to outlives this.
  Stage(Device& device, const Plan& plan, const Place& place, TensorParallel& tensor,
        DataParallel& states, std::size_t in_flight);
  Stage(const Stage&) = delete;  // layers refer to its shape
  Stage& operator=(const Stage&) = delete;

  [[nodiscard]] bool is_first() const { return is_first_; }
  [[nodiscard]] bool is_last() const { return is_last_; }

  /// The stream of a micro-batch into and out of the stage, [N, C]: forward reads the former,
  /// unless the stage is the first, and writes the latter.
  [[nodiscard]] const Tensor& input(std::size_t micro_batch) const {
    return held_of(micro_batch).streams.front();
  }
  [[nodiscard]] const Tensor& output(std::size_t micro_batch) const {
    return held_of(micro_batch).streams.back();
  }
  /// Backward reads from it the gradient of the stage's output, unless the stage is the last, and
  /// leaves there that of its input.
  [[nodiscard]] const Tensor& gradient(std::size_t micro_batch) const {
    return gradients_[micro_batch % gradients_.size()];
  }

  void begin_step();
  /// tokens, targets: int32 [N]; the first and the last stage read them.
  void forward(std::size_t micro_batch, const Tensor& tokens, const Tensor& targets);
  /// Gradients of the loss summed over tokens, times `scale`.
  void backward(std::size_t micro_batch, const Tensor& tokens, const Tensor& targets, float scale,
                bool is_last_micro_batch);
  /// Summed over the micro-batches of a step, token by token: fp32 [N]. REQUIRES: is_last().
  [[nodiscard]] const Tensor& losses() const { return losses_; }

 private:
  struct Held {
    std::vector<Memory> streams;         // [N, C]: before each layer, and after the last
    std::vector<LayerActivations> kept;  // of each layer; empty when they are recomputed
    Memory norm;                         // [N, C], of the head
    Memory statistics;                   // fp32 [2, N]
    Memory logits;                       // [N, V], then their gradient
    Memory row_max;                      // fp32 [N]
    Memory sums;                         // fp32 [2, N]
  };
  void allocate_head(Held& held);
  void embed(const Held& held, const Tensor& tokens);
  void embedding_backward(const Tensor& gradient, const Tensor& tokens, bool is_last_micro_batch);
  void head_forward(const Held& held, const Tensor& targets);
  void head_backward(const Held& held, const Tensor& gradient, const Tensor& targets, float scale);
  void layer_backward(std::size_t layer, const Held& held, const Tensor& gradient,
                      bool is_last_micro_batch);
  [[nodiscard]] const Held& held_of(std::size_t micro_batch) const {
    return held_[micro_batch % held_.size()];
  }
  [[nodiscard]] const LayerActivations& kept_of(const Held& held, std::size_t layer) const {
    return held.kept.empty() ? again_ : held.kept[layer];
  }
  [[nodiscard]] std::size_t unit_of(std::size_t layer) const { return layer + (is_first_ ? 1 : 0); }

  Device& device_;
  LayerShape shape_;
  TensorParallel& tensor_;
  DataParallel& states_;
  bool is_first_;
  bool is_last_;
  bool is_recomputed_;
  std::int64_t rows_;  // of the vocabulary on this rank
  std::int64_t first_row_;
  std::vector<Layer> layers_;
  std::vector<Held> held_;         // of the micro-batches in flight
  std::vector<Memory> gradients_;  // [N, C]: one is sent while the next is made
  LayerScratch scratch_;
  LayerActivations again_;  // of the layer whose forward is computed again
  Memory again_out_;        // [N, C], which that ends in
  Memory head_gradient_;    // [N, C]
  Memory losses_;           // fp32 [N], of a step
  Memory own_losses_;       // fp32 [N], of a micro-batch
};

}  // namespace foretrain::trainer
