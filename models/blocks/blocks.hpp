// What one rank computes for one block of a model and one micro-batch: kernels forward and
// backward, the places where tensor parallelism communicates, and the tensors kept for backward.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "models/model.hpp"
#include "sim/program/kernel.hpp"

namespace foretrain {

/// Which attention kernel runs: three kernels through HBM, or one of the flash family.
enum class AttentionKernel : std::uint8_t {
  unfused,
  flash1,
  flash2,
  flash3,
  flash_triton,
  flash_cudnn
};

/// The flash kernel that this is; nothing for the unfused one.
[[nodiscard]] std::optional<FlashVersion> flash_version(AttentionKernel kernel);

/// Software facts that change which kernels run and what they read and write.
struct KernelChoices {
  AttentionKernel attention = AttentionKernel::flash2;
  bool dropout = false;           ///< attention and hidden dropout are trained with
  bool fused_activation = true;   ///< bias + GELU, or the gate of SwiGLU, in one kernel
  bool fused_dropout_add = true;  ///< bias + dropout + residual in one kernel
  bool fused_rotary = true;
  // Traffic of what eager PyTorch runs as many kernels; 0 where one kernel does it.
  double eager_norm_forward_bytes = 0;  ///< per element of a norm, all its kernels together
  double eager_norm_backward_bytes = 0;
  double eager_softmax_bytes =
      0;                         ///< per score of unfused attention, forward: scale, mask, softmax
  double extra_layer_bytes = 0;  ///< per hidden element and layer, forward: copies and casts
  double extra_layer_gradient_bytes = 0;  ///< the same, backward
  bool gathered_logits = false;  ///< every rank of a tensor-parallel group computes the whole loss
  bool fp32_router = false;      ///< the router's products run in fp32
  double weight_gradient_output_bytes = 8;  ///< 8: accumulated in fp32 inside the GEMM; 2: written
                                            ///< in 16 bit, accumulated by a kernel of its own,
                                            ///< which costs per parameter and is not in these lists
};

/// Where the experts of a layer are, and how many rows come to one of them.
struct ExpertShard {
  std::int64_t degree = 1;  ///< ranks that share the experts of a layer; divides them
  std::int64_t tensor = 0;  ///< ranks that split each of them; 0: all that share the layer
  double load = 1;          ///< rows that come to the busiest rank over the mean
  double capacity = 0;      ///< rows that an expert takes at most over the mean; 0: any number
  bool is_padded = false;   ///< each takes as many rows, some of them empty
};

/// How one rank sees the work.
struct Shard {
  std::int64_t micro_batch = 1;    ///< sequences
  std::int64_t sequence = 1;       ///< tokens per sequence on this rank
  std::int64_t context = 1;        ///< ranks that share a sequence; attention sees all its tokens
  std::int64_t tensor = 1;         ///< tensor-parallel degree; divides heads, kv_heads and ffn
  bool sequence_parallel = false;  ///< norms and dropouts on 1/tensor of the sequence
  Dtype dtype = Dtype::bf16;
  KernelChoices kernels;
  ExpertShard experts;

  [[nodiscard]] std::int64_t tokens() const { return micro_batch * sequence; }
  [[nodiscard]] std::int64_t expert_tensor() const {
    return experts.tensor > 0 ? experts.tensor : tensor;
  }
  /// Whether tokens travel to their experts, so that each rank of a tensor-parallel group routes
  /// its own; otherwise every rank holds 1/tensor of every expert.
  [[nodiscard]] bool dispatches() const { return experts.degree > 1 || expert_tensor() != tensor; }
};

/// Where the tensor-parallel region begins and ends (Megatron's conjugate operators f and g). What
/// is sent there, forward and backward, is the strategy's business; the tensor is tokens x hidden.
/// Boundaries stand in the lists at every tensor-parallel degree, also 1. Right before a backward
/// enter_tensor_parallel stand the input gradients of the GEMMs that enter, and then their weight
/// gradients, which do not need what is sent there: a strategy may send after the former and hide
/// the collective behind the latter.
/// gather_logits: each rank gets the logits of all, forward; backward it keeps its own.
/// sum_loss: the maximum and the sum of every token's logits, over all ranks, forward.
/// dispatch_experts: copies of tokens go to the ranks of their experts, forward; their gradients
/// come back, backward. combine_experts: what experts made of them comes back; likewise.
enum class Boundary : std::uint8_t {
  enter_tensor_parallel,
  leave_tensor_parallel,
  gather_logits,
  sum_loss,
  dispatch_experts,
  combine_experts
};

/// A kernel or a boundary. Steps of the attention core (scores, softmax, dropout, values) are
/// marked because selective recomputation runs them again; those of shared experts because they
/// need not wait for the next boundary of the routed ones and may run beside it.
struct Step {
  std::string_view name;  ///< a literal
  std::variant<Gemm, FlashAttention, MemoryBound, Boundary> what;
  bool is_attention_core = false;
  bool is_beside_experts = false;
  double elements = 0;  ///< at a boundary of the experts: what this rank sends of all copies
};

struct SavedTensor {
  std::string_view name;
  Bytes bytes;                     ///< on this rank, for one micro-batch
  bool is_attention_core = false;  ///< not kept under selective recomputation
};

struct Work {
  std::int64_t parameters = 0;  ///< held by this rank
  /// Of these, in experts that travelling tokens visit: other ranks hold the same ones than hold
  /// the rest. 0 where tokens do not travel (Shard::dispatches).
  std::int64_t expert_parameters = 0;
  std::int64_t frozen = 0;          ///< of them, not trained
  std::int64_t quantised = 0;       ///< of the frozen ones, kept in fewer than 16 bit
  std::int64_t frozen_experts = 0;  ///< the frozen part of expert_parameters
  std::int64_t repeated = 0;  ///< of the trained ones, adapters whose gradients tensor-parallel
                              ///< ranks have in parts
  std::vector<Step> forward;
  std::vector<Step> backward;  ///< without any recomputation
  std::vector<SavedTensor> saved;
  /// The residual stream that the work hands on (the head: that it gets), whole: tokens x hidden,
  /// not divided by tensor parallelism. What boundaries and pipelines send.
  double stream_elements = 0;

  [[nodiscard]] std::int64_t trained() const { return parameters - frozen; }
  [[nodiscard]] std::int64_t trained_experts() const { return expert_parameters - frozen_experts; }
};

/// The vocabulary rounded up so that each rank of a tensor-parallel group holds a multiple of 128
/// rows, as Megatron-LM pads it.
[[nodiscard]] std::int64_t padded_vocabulary(std::int64_t vocabulary, std::int64_t tensor);

/// Token (and position) embedding, at the first stage. Each rank looks up the rows that it holds,
/// so the list has a leave_tensor_parallel where the partial results are summed.
[[nodiscard]] Work embedding_work(const Model& model, const Shard& shard);
/// Norm, attention, residual, with a pair of boundaries of its own.
[[nodiscard]] Work attention_work(const Model& model, const Shard& shard);
/// Norm, MLP or mixture of experts, residual; likewise. Where tokens travel to their experts the
/// boundaries of these take the place of the pair, which the shared experts alone keep.
[[nodiscard]] Work mlp_work(const Model& model, const Shard& shard);
/// One transformer layer: attention then MLP, or, with a parallel residual, both between one pair
/// of boundaries; `kind` says which layers (layer_kind). REQUIRES here and above: shard.tensor
/// divides heads, kv_heads and ffn.
[[nodiscard]] Work layer_work(const Model& model, const Shard& shard, std::size_t kind = 0);
/// Final norm, LM head and loss, at the last stage. With tied embeddings the parameters of the head
/// count here only when the last stage is not also the first (`holds_embedding`).
[[nodiscard]] Work head_work(const Model& model, const Shard& shard, bool holds_embedding);

}  // namespace foretrain
