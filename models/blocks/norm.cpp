// Norms, and what follows a block on the residual stream: bias, dropout, addition. With sequence
// parallelism all of it works on 1/t of the tokens.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "models/blocks/parts.hpp"

namespace foretrain::blocks {

// Forward reads and writes h elements per token. Backward reads the input and the output's gradient
// and writes the input's gradient; the gradient of the weight sums over tokens and reads again, of
// which about one tensor's worth misses the cache: 6 to 8 bytes in 16 bit, counted as 8.
// The mean and deviation per token (8 / (2 h) of the input) are left out, as in Korthikanti et al.
Work norm_work(const Model& model, const Shard& shard, const NormNames& names) {
  const double elements = outside(shard, model.hidden);
  const std::int64_t ranks = shard.sequence_parallel ? shard.tensor : 1;
  const std::int64_t rows = std::max<std::int64_t>(1, shard.tokens() / ranks);
  Work work;
  work.parameters = model.hidden * (model.norm == NormKind::layer_norm ? 2 : 1);
  const KernelChoices& kernels = shard.kernels;
  if (kernels.eager_norm_forward_bytes > 0) {
    work.forward = {memory_step(names.forward, MemoryOp::streaming,
                                kernels.eager_norm_forward_bytes * elements)};
    work.backward = {memory_step(names.backward, MemoryOp::streaming,
                                 kernels.eager_norm_backward_bytes * elements)};
    // The input in fp32 and the normalised output in fp32 are kept beside the input.
    work.saved = {saved(names.input, (activation_bytes(shard) + 8) * elements)};
    return work;
  }
  work.forward = {row_step(names.forward, MemoryOp::norm, 2, elements, rows, shard)};
  work.backward = {row_step(names.backward, MemoryOp::norm, 4, elements, rows, shard)};
  work.saved = {saved(names.input, activation_bytes(shard) * elements)};
  return work;
}

// The same passes over tensors that no rank shares out by tokens. The weights are those of one row.
Work inner_norm_work(const Model& model, const Shard& shard, std::int64_t width,
                     std::int64_t rows_per_token, const NormNames& names) {
  const double elements = inside(shard, width * rows_per_token);
  const std::int64_t rows = shard.tokens() * rows_per_token;
  Work work;
  work.parameters = width * (model.norm == NormKind::layer_norm ? 2 : 1);
  work.forward = {row_step(names.forward, MemoryOp::norm, 2, elements, rows, shard)};
  work.backward = {row_step(names.backward, MemoryOp::norm, 4, elements, rows, shard)};
  work.saved = {saved(names.input, activation_bytes(shard) * elements)};
  return work;
}

namespace {

void append_residual_forward(std::vector<Step>& steps, const Shard& shard, double elements,
                             bool has_bias, const ResidualNames& names) {
  const double e = activation_bytes(shard);
  const bool dropout = shard.kernels.dropout;
  if (shard.kernels.fused_dropout_add) {
    // Reads the branch and the stream, writes the sum, and one byte of mask per element.
    steps.push_back(
        memory_step(names.fused, MemoryOp::streaming, (3 * e + (dropout ? 1 : 0)) * elements));
    return;
  }
  if (has_bias) {
    steps.push_back(memory_step(names.bias, MemoryOp::streaming, 2 * e * elements));
  }
  if (dropout) {
    steps.push_back(memory_step(names.dropout, MemoryOp::streaming, (2 * e + 1) * elements));
  }
  steps.push_back(memory_step(names.add, MemoryOp::streaming, 3 * e * elements));
}

}  // namespace

// Backward: the addition passes its gradient on; dropout reads gradient and mask and writes; the
// bias sums the gradient over tokens. Adding the branch's gradient to the stream's comes after the
// norm, in layer.cpp.
Work residual_work(const Model& model, const Shard& shard, bool has_bias,
                   const ResidualNames& names) {
  const double e = activation_bytes(shard);
  const double elements = outside(shard, model.hidden);
  Work work;
  work.parameters = has_bias ? model.hidden : 0;
  append_residual_forward(work.forward, shard, elements, has_bias, names);
  if (shard.kernels.dropout) {
    work.backward.push_back(
        memory_step(names.dropout_gradient, MemoryOp::streaming, (2 * e + 1) * elements));
    work.saved.push_back(saved(names.mask, elements));
  }
  if (has_bias) {
    work.backward.push_back(memory_step(names.bias_gradient, MemoryOp::streaming, e * elements));
  }
  return work;
}

Work mixer_residual(const Model& model, const Shard& shard, bool has_bias) {
  return residual_work(
      model, shard, has_bias,
      {"attention_dropout_add", "attention_output_bias", "attention_output_dropout",
       "attention_add", "attention_output_dropout_gradient", "attention_output_bias_gradient",
       "attention_output_dropout_mask"});
}

Work feed_forward_residual(const Model& model, const Shard& shard, bool has_bias) {
  return residual_work(
      model, shard, has_bias,
      {"mlp_dropout_add", "mlp_output_bias", "mlp_output_dropout", "mlp_add",
       "mlp_output_dropout_gradient", "mlp_output_bias_gradient", "mlp_output_dropout_mask"});
}

}  // namespace foretrain::blocks
