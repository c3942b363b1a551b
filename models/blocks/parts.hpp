// Pieces that several blocks are made of. Inside models/blocks only; callers see blocks.hpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

// b = sequences, s = tokens per sequence, h = hidden, a = heads, q = key-value heads, d = head
// dimension, f = width of the MLP, V = vocabulary, t = tensor-parallel degree, e = bytes of one
// activation.
//
// Memory traffic is counted from what a kernel must read and write once: a pass that reads one
// tensor and writes one costs 2 e per element. Where an op is one kernel or several, KernelChoices
// says which.

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/blocks/blocks.hpp"

namespace foretrain::blocks {

/// Bytes of one element of an activation tensor: 16-bit training, and fp8 and fp4 training, keep
/// activations in 16 bit; fp8 and fp4 are for the inputs of the large GEMMs only.
[[nodiscard]] double activation_bytes(const Shard& shard);
/// Bytes of one element of a linear layer's input as kept for its weight gradient (fewer
/// under fp8 and fp4).
[[nodiscard]] double linear_input_bytes(const Shard& shard);
/// The type of GEMMs that stay out of fp8 and fp4: attention, router, LM head.
[[nodiscard]] Dtype unquantized(Dtype dtype);

/// Elements of a tokens x width tensor outside the tensor-parallel region: each rank has all
/// tokens, or 1/t of them with sequence parallelism (Korthikanti et al. 2022, section 4.2.2).
[[nodiscard]] double outside(const Shard& shard, std::int64_t width);
/// Elements of a tokens x width tensor inside the region, where every rank sees all tokens.
[[nodiscard]] double inside(const Shard& shard, std::int64_t width);

[[nodiscard]] Step memory_step(std::string_view name, MemoryOp op, double bytes);
/// A kernel that gives each row to one block; reads and writes as many `passes` of e per element.
[[nodiscard]] Step row_step(std::string_view name, MemoryOp op, double passes, double elements,
                            std::int64_t rows, const Shard& shard);
[[nodiscard]] SavedTensor saved(std::string_view name, double bytes);

struct LinearNames {
  std::string_view forward;
  std::string_view input_gradient;
  std::string_view weight_gradient;
  std::string_view bias_gradient;
};

/// A linear layer as this rank computes it: `batch` independent products (experts) of rows x inputs
/// by inputs x outputs.
struct Linear {
  LinearNames names;
  Dtype dtype = Dtype::bf16;
  std::int64_t batch = 1;
  std::int64_t rows = 1;  ///< tokens (of one expert)
  std::int64_t outputs = 1;
  std::int64_t inputs = 1;
  bool has_bias = false;    ///< added in the GEMM's epilogue, or by the kernel that follows
  bool is_grouped = false;  ///< experts: one launch each

  [[nodiscard]] std::int64_t parameters() const {
    return batch * outputs * (inputs + (has_bias ? 1 : 0));
  }
};

void append_forward(std::vector<Step>& steps, const Linear& linear);
void append_input_gradient(std::vector<Step>& steps, const Linear& linear);
/// Nothing without a bias.
void append_bias_gradient(std::vector<Step>& steps, const Linear& linear, const Shard& shard);
void append_weight_gradient(std::vector<Step>& steps, const Linear& linear, const Shard& shard);

/// A linear layer under these names, in the run's precision.
[[nodiscard]] Linear linear_layer(const LinearNames& names, const Shard& shard,
                                  std::int64_t outputs, std::int64_t inputs);

struct NormNames {
  std::string_view forward;
  std::string_view backward;
  std::string_view input;
};
/// A norm of `width` numbers of every token inside the region, scaled by that many weights.
[[nodiscard]] Work inner_norm_work(const Model& model, const Shard& shard, std::int64_t width,
                                   std::int64_t rows_per_token, const NormNames& names);
/// A norm over tokens outside the region; keeps its input.
[[nodiscard]] Work norm_work(const Model& model, const Shard& shard, const NormNames& names);

struct ResidualNames {
  std::string_view fused;
  std::string_view bias;
  std::string_view dropout;
  std::string_view add;
  std::string_view dropout_gradient;
  std::string_view bias_gradient;
  std::string_view mask;
};
/// Bias, dropout and residual addition after a row-parallel layer, on tokens outside the region.
/// With `has_bias` every rank holds that layer's bias whole, and adds it once.
[[nodiscard]] Work residual_work(const Model& model, const Shard& shard, bool has_bias,
                                 const ResidualNames& names);

/// What stands between a norm and a residual addition.
struct Branch {
  Work norm;                           ///< outside the region, before it
  Work inside;                         ///< backward without the next two; the first tensor that it
                                       ///< keeps is the input of the branch
  std::vector<Step> input_gradients;   ///< of the GEMMs that enter
  std::vector<Step> weight_gradients;  ///< likewise
  Work output_norm;                    ///< outside the region, after it; often empty
  Work residual;                       ///< after that
  bool has_output_bias = false;
  bool has_own_boundaries = false;  ///< all in `inside`: no pair around it
};
[[nodiscard]] Branch moe_branch(const Model& model, const Shard& shard);
/// The branches of a layer as the table says, with the norm that Model::branch_norms adds.
[[nodiscard]] Branch mixer_branch(const Model& model, const Shard& shard);
[[nodiscard]] Branch feed_forward_branch(const Model& model, const Shard& shard);
/// norm, enter, inside, leave, residual; backward mirrored.
[[nodiscard]] Work serial(const Model& model, const Shard& shard, const Branch& branch);

/// Residual addition and dropout after a mixer, under the names that attention has.
[[nodiscard]] Work mixer_residual(const Model& model, const Shard& shard, bool has_bias);
/// The same after a feed-forward block.
[[nodiscard]] Work feed_forward_residual(const Model& model, const Shard& shard, bool has_bias);

/// Softmax attention as one rank computes it.
struct CoreShape {
  std::int64_t heads = 1;  ///< on this rank
  std::int64_t kv_heads = 1;
  std::int64_t qk_dim = 1;
  std::int64_t v_dim = 1;
};
/// Scores, softmax, dropout and values, or one flash kernel; all steps marked.
[[nodiscard]] Work attention_core(const Model& model, const Shard& shard, const CoreShape& shape);
/// Key-value heads on one rank: where there are fewer than ranks, several hold the same one.
[[nodiscard]] std::int64_t kv_heads_of(const Model& model, const Shard& shard);

/// Linear attention as one rank computes it.
struct ChunkedShape {
  std::int64_t heads = 1;  ///< on this rank
  std::int64_t key_dim = 1;
  std::int64_t value_dim = 1;  ///< of one head
};
/// Decay, states of chunks, scores within a chunk and values; all steps marked.
[[nodiscard]] Work chunked_core(const Shard& shard, const ChunkedShape& shape);
/// Multiply-adds of one token in it, all heads together.
[[nodiscard]] double chunked_products(const ChunkedShape& shape, std::int64_t sequence_length);

/// The activation between the two halves of an MLP over `rows` x (f / t) elements.
[[nodiscard]] Work activation_work(const Model& model, const Shard& shard, double elements);

/// Token (and position) embedding, with the norm and dropout after it.
[[nodiscard]] Work text_embedding_work(const Model& model, const Shard& shard);
/// Rows of the token table on one rank.
[[nodiscard]] std::int64_t table_rows(const Model& model, const Shard& shard);
/// A norm, the LM head and the loss, without the head's parameters.
[[nodiscard]] Work loss_work(const Model& model, const Shard& shard, const NormNames& norm);
/// The modules that predict tokens beyond the next, from the last layer's output to their losses.
[[nodiscard]] Work multi_token_work(const Model& model, const Shard& shard, bool holds_embedding);

/// How a rank sees the images: a sequence of its own is each.
[[nodiscard]] Shard vision_shard(const Model& model, const Shard& shard);
/// From pixels to the stream of the vision tower.
[[nodiscard]] Work patch_work(const Model& model, const Shard& shard);
/// From the output of the vision tower, and the text, to the stream of the language model.
[[nodiscard]] Work image_entry_work(const Model& model, const Shard& shard);

void append(std::vector<Step>& to, const std::vector<Step>& from);
void append(std::vector<SavedTensor>& to, const std::vector<SavedTensor>& from);
/// `next` runs after `work` in the forward pass and before it in the backward pass.
void follow(Work& work, const Work& next);

}  // namespace foretrain::blocks
