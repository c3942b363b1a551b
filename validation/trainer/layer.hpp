// One transformer layer of GPT-2, forward and backward, on one rank of a tensor-parallel group.
//
// Legend: N = tokens of a micro-batch (B sequences of S), C = hidden width, H = heads and F = inner
// width of the MLP, both of this rank, D = head dimension.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "validation/trainer/data_parallel.hpp"
#include "validation/trainer/tensor_parallel.hpp"

namespace foretrain::trainer {

struct LayerShape {
  AttentionShape attention;  ///< B, H, S, D
  std::int64_t hidden = 0;   ///< C
  std::int64_t ffn = 0;      ///< F

  [[nodiscard]] std::int64_t tokens() const { return attention.tokens(); }
  [[nodiscard]] std::int64_t heads_width() const { return attention.heads * attention.head_dim; }
};
[[nodiscard]] LayerShape layer_shape(const Plan& plan);

/// What forward keeps for backward, besides the layer's input.
struct LayerActivations {
  Memory norm1;        // [N, C]
  Memory statistics1;  // fp32 [2, N]
  Memory qkv;          // [B, S, 3, H, D]
  Memory saved;        // of the attention
  Memory attended;     // [B, S, H, D]
  Memory middle;       // [N, C], the stream between attention and MLP
  Memory norm2;        // [N, C]
  Memory statistics2;  // fp32 [2, N]
  Memory up;           // [N, F], before GELU
  Memory activated;    // [N, F]
};
[[nodiscard]] LayerActivations layer_activations(Device& device, const LayerShape& shape);

/// What comes and goes within a layer; all layers use the same.
struct LayerScratch {
  Memory branch;    // [N, C], what a branch adds to the stream, and its gradient
  Memory attended;  // [N, H D], gradient
  Memory qkv;       // [N, 3 H D], gradient
  Memory inner;     // [N, F], gradient
};
[[nodiscard]] LayerScratch layer_scratch(Device& device, const LayerShape& shape);

class Layer {
 public:
  /// `unit` is the layer's among the states'.
  Layer(Device& device, const LayerShape& shape, TensorParallel& tensor, DataParallel& states,
        std::size_t unit)
      : device_(device), shape_(shape), tensor_(tensor), states_(states), unit_(unit) {}

  /// out [N, C] from in [N, C], which do not overlap.
  void forward(const Tensor& out, const Tensor& in, const LayerActivations& kept,
               const LayerScratch& scratch);
  /// gradient [N, C]: of the layer's output, then, in place, of its input.
  void backward(const Tensor& gradient, const Tensor& in, const LayerActivations& kept,
                const LayerScratch& scratch);

 private:
  [[nodiscard]] Tensor weight(std::size_t part) const { return states_.parameter(unit_, part); }
  [[nodiscard]] Tensor gradient_of(std::size_t part) const { return states_.gradient(unit_, part); }
  void mlp_backward(const Tensor& gradient, const LayerActivations& kept,
                    const LayerScratch& scratch);
  void attention_backward(const Tensor& gradient, const Tensor& in, const LayerActivations& kept,
                          const LayerScratch& scratch);

  Device& device_;
  const LayerShape& shape_;
  TensorParallel& tensor_;
  DataParallel& states_;
  std::size_t unit_;
};

}  // namespace foretrain::trainer
