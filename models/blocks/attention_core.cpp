// The attention core: scores, softmax, dropout and values of a/t heads, either as kernels that pass
// the s x s scores through HBM or as one flash kernel that never writes them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "models/blocks/parts.hpp"

namespace foretrain {

std::optional<FlashVersion> flash_version(AttentionKernel kernel) {
  switch (kernel) {
    case AttentionKernel::unfused:
      return std::nullopt;
    case AttentionKernel::flash1:
      return FlashVersion::flash1;
    case AttentionKernel::flash2:
      return FlashVersion::flash2;
    case AttentionKernel::flash3:
      return FlashVersion::flash3;
    case AttentionKernel::flash_triton:
      return FlashVersion::flash_triton;
    case AttentionKernel::flash_cudnn:
      return FlashVersion::flash_cudnn;
  }
  return std::nullopt;
}

namespace blocks {
namespace {

std::int64_t whole_length(const Shard& shard) { return shard.sequence * shard.context; }

// With a window w shorter than the sequence s, query i sees min(i, w) keys: w (1 - w / (2 s)) on
// average, which at w = s is the s / 2 of a causal triangle.
std::int64_t seen_keys(const Model& model, const Shard& shard) {
  const auto window = static_cast<double>(model.sliding_window);
  const double mean = window * (1 - window / (2 * static_cast<double>(whole_length(shard))));
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::llround(mean)));
}

FlashAttention flash_kernel(const Model& model, const Shard& shard, const CoreShape& shape,
                            bool is_backward) {
  const bool has_window = model.sliding_window > 0 && model.sliding_window < whole_length(shard);
  FlashAttention flash;
  flash.batch = shard.micro_batch;
  flash.heads = shape.heads;
  flash.query_length = shard.sequence;
  flash.key_length = has_window ? seen_keys(model, shard) : whole_length(shard);
  flash.qk_head_dim = shape.qk_dim;
  flash.v_head_dim = shape.v_dim;
  flash.is_causal = model.is_causal && !has_window;
  flash.is_backward = is_backward;
  flash.version = *flash_version(shard.kernels.attention);
  flash.dtype = unquantized(shard.dtype);
  return flash;
}

// Kept: one fp32 logarithm of the sum of exponentials per query and head. Dropout draws its random
// numbers again in the backward pass, so there is no mask.
Work flash_core(const Model& model, const Shard& shard, const CoreShape& shape) {
  Work work;
  work.forward = {{"flash_attention", flash_kernel(model, shard, shape, false), true}};
  work.backward = {{"flash_attention_gradient", flash_kernel(model, shard, shape, true), true}};
  work.saved = {{"softmax_statistics", Bytes(4 * inside(shard, shape.heads)), true}};
  return work;
}

struct Unfused {
  const Model& model;
  const Shard& shard;
  CoreShape shape;
  std::int64_t batch;  ///< sequences x heads on this rank
  double e;
  double scores;   ///< elements of all s x s matrices on this rank
  double repeats;  ///< elements that keys and values gain when shared heads are repeated

  Unfused(const Model& m, const Shard& sh, const CoreShape& of)
      : model(m),
        shard(sh),
        shape(of),
        batch(sh.micro_batch * of.heads),
        e(activation_bytes(sh)),
        scores(inside(sh, of.heads) * static_cast<double>(sh.sequence)),
        repeats(inside(sh, (of.heads - of.kv_heads) * (of.qk_dim + of.v_dim))) {}

  [[nodiscard]] Step gemm(std::string_view name, std::int64_t n, std::int64_t k, GemmPass pass,
                          double output_bytes) const {
    return {name, Gemm{batch, shard.sequence, n, k, unquantized(shard.dtype), pass, output_bytes},
            true};
  }
  [[nodiscard]] static Step memory(std::string_view name, MemoryOp op, double bytes) {
    return {name, MemoryBound{op, Bytes(bytes)}, true};
  }
  [[nodiscard]] Step softmax(std::string_view name, double passes) const {
    return {name,
            MemoryBound{MemoryOp::softmax, Bytes(passes * e * scores), batch * shard.sequence,
                        passes / 2 * static_cast<double>(shard.sequence)},
            true};
  }
  // Repeating reads the shared heads and writes all; its backward sums the other way.
  [[nodiscard]] double repeat_bytes() const {
    const double all = inside(shard, shape.heads * (shape.qk_dim + shape.v_dim));
    return e * (all + (all - repeats));
  }
};

// Scores are written by the first GEMM, read and written by the fused scale-mask-softmax, by
// dropout (which adds a byte of mask), and read by the second GEMM. ALiBi's bias is laid out in the
// score matrix first and accumulated onto. The whole square is computed, whatever the mask.
void append_unfused_forward(std::vector<Step>& steps, const Unfused& core) {
  const std::int64_t s = core.shard.sequence;
  const std::int64_t d = core.shape.qk_dim;
  const std::int64_t v = core.shape.v_dim;
  if (core.repeats > 0) {
    steps.push_back(
        Unfused::memory("repeat_keys_values", MemoryOp::streaming, core.repeat_bytes()));
  }
  const bool has_alibi = core.model.position == PositionKind::alibi;
  if (has_alibi) {
    steps.push_back(Unfused::memory("alibi_bias", MemoryOp::streaming, core.e * core.scores));
  }
  steps.push_back(
      core.gemm("attention_score", s, d, GemmPass::forward, has_alibi ? 2 * core.e : core.e));
  const double eager = core.shard.kernels.eager_softmax_bytes;
  steps.push_back(eager > 0 ? Unfused::memory("softmax", MemoryOp::streaming, eager * core.scores)
                            : core.softmax("softmax", 2));
  if (core.shard.kernels.dropout) {
    steps.push_back(
        Unfused::memory("attention_dropout", MemoryOp::streaming, (2 * core.e + 1) * core.scores));
  }
  steps.push_back(core.gemm("attention_context", v, s, GemmPass::forward, core.e));
  // Heads stand apart in the product and side by side in what the projection reads.
  const double context = inside(core.shard, core.shape.heads * v);
  steps.push_back(Unfused::memory("merge_heads", MemoryOp::streaming, 2 * core.e * context));
}

// Each of the two products has two gradients. Softmax reads its output and the gradient, and
// writes.
void append_unfused_backward(std::vector<Step>& steps, const Unfused& core) {
  const std::int64_t s = core.shard.sequence;
  const std::int64_t d = core.shape.qk_dim;
  const std::int64_t v = core.shape.v_dim;
  const auto gradient = GemmPass::input_gradient;
  steps.push_back(core.gemm("attention_probability_gradient", s, v, gradient, core.e));
  steps.push_back(core.gemm("value_gradient", v, s, gradient, core.e));
  if (core.shard.kernels.dropout) {
    steps.push_back(Unfused::memory("attention_dropout_gradient", MemoryOp::streaming,
                                    (2 * core.e + 1) * core.scores));
  }
  steps.push_back(core.softmax("softmax_gradient", 3));
  steps.push_back(core.gemm("query_gradient", d, s, gradient, core.e));
  steps.push_back(core.gemm("key_gradient", d, s, gradient, core.e));
  if (core.repeats > 0) {
    steps.push_back(Unfused::memory("repeat_gradient", MemoryOp::streaming, core.repeat_bytes()));
  }
}

// Korthikanti et al. 2022, section 4.1: softmax output 2 a s^2 b, dropout mask a s^2 b, and the
// output of dropout 2 a s^2 b bytes, 1/t of it on each rank.
Work unfused_core(const Model& model, const Shard& shard, const CoreShape& shape) {
  const Unfused core(model, shard, shape);
  Work work;
  append_unfused_forward(work.forward, core);
  append_unfused_backward(work.backward, core);
  work.saved.push_back({"softmax_output", Bytes(core.e * core.scores), true});
  if (shard.kernels.dropout) {
    work.saved.push_back({"attention_dropout_mask", Bytes(core.scores), true});
    work.saved.push_back({"attention_dropout_output", Bytes(core.e * core.scores), true});
  }
  if (core.repeats > 0) {  // on top of the shared heads, which the caller counts
    work.saved.push_back({"repeated_keys_values", Bytes(core.e * core.repeats), true});
  }
  return work;
}

}  // namespace

Work attention_core(const Model& model, const Shard& shard, const CoreShape& shape) {
  return shard.kernels.attention == AttentionKernel::unfused ? unfused_core(model, shard, shape)
                                                             : flash_core(model, shard, shape);
}

}  // namespace blocks
}  // namespace foretrain
