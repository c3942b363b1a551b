// The embedding at the first stage. The token table is split by rows over the tensor-parallel
// ranks: each looks up what it holds, zeroes the rest, and the results are summed. Positions, the
// norm and dropout come after the sum, on the residual stream.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

namespace foretrain {
namespace {

using blocks::activation_bytes;
using blocks::inside;
using blocks::memory_step;
using blocks::outside;
using blocks::row_step;
using blocks::table_rows;

constexpr std::int64_t kRowsDividedBy = 128;

// Looking up reads and writes a row per token. With t > 1, (t - 1) / t of the rows belong to other
// ranks and are overwritten with zeros.
void append_lookup(Work& work, const Model& model, const Shard& shard) {
  const double e = activation_bytes(shard);
  const double elements = inside(shard, model.hidden);
  const auto t = static_cast<double>(shard.tensor);
  work.forward.push_back(
      row_step("token_lookup", MemoryOp::gather, 2, elements, shard.tokens(), shard));
  if (shard.tensor > 1) {
    work.forward.push_back(
        memory_step("token_mask", MemoryOp::streaming, e * elements * (t - 1) / t));
  }
  work.forward.push_back({"leave_tensor_parallel", Boundary::leave_tensor_parallel, false});
}

// The table's gradient is dense: cleared for each micro-batch, then a read, add and write of one
// row per token.
std::vector<Step> lookup_gradient(const Model& model, const Shard& shard) {
  const double e = activation_bytes(shard);
  const double table =
      static_cast<double>(table_rows(model, shard)) * static_cast<double>(model.hidden);
  return {{"leave_tensor_parallel", Boundary::leave_tensor_parallel, false},
          memory_step("token_gradient_clear", MemoryOp::streaming, e * table),
          row_step("token_gradient", MemoryOp::gather, 3, inside(shard, model.hidden),
                   shard.tokens(), shard)};
}

// Adding a position row reads it and the token's, and writes; its gradient sums over sequences.
Work position_work(const Model& model, const Shard& shard) {
  const double e = activation_bytes(shard);
  const double elements = outside(shard, model.hidden);
  Work work;
  work.parameters = model.max_positions * model.hidden;
  work.forward = {memory_step("position_add", MemoryOp::streaming, 3 * e * elements)};
  work.backward = {memory_step("position_gradient", MemoryOp::streaming, e * elements)};
  return work;
}

Work dropout_work(const Model& model, const Shard& shard) {
  const double bytes = 2 * activation_bytes(shard) + 1;
  const double elements = outside(shard, model.hidden);
  Work work;
  work.forward = {memory_step("embedding_dropout", MemoryOp::streaming, bytes * elements)};
  work.backward = {
      memory_step("embedding_dropout_gradient", MemoryOp::streaming, bytes * elements)};
  work.saved = {blocks::saved("embedding_dropout_mask", elements)};
  return work;
}

}  // namespace

std::int64_t padded_vocabulary(std::int64_t vocabulary, std::int64_t tensor) {
  const std::int64_t multiple = kRowsDividedBy * tensor;
  return (vocabulary + multiple - 1) / multiple * multiple;
}

Work embedding_work(const Model& model, const Shard& shard) {
  return model.vision ? blocks::patch_work(model, shard)
                      : blocks::text_embedding_work(model, shard);
}

namespace blocks {

std::int64_t table_rows(const Model& model, const Shard& shard) {
  return padded_vocabulary(model.vocabulary, shard.tensor) / shard.tensor;
}

Work text_embedding_work(const Model& model, const Shard& shard) {
  Work work;
  work.parameters = table_rows(model, shard) * model.hidden;
  work.stream_elements = inside(shard, model.hidden);
  append_lookup(work, model, shard);
  work.backward = lookup_gradient(model, shard);
  if (model.position == PositionKind::learned) {
    follow(work, position_work(model, shard));
  }
  if (model.embedding_norm) {
    follow(work, norm_work(model, shard,
                           {"embedding_norm", "embedding_norm_gradient", "embedding_norm_input"}));
  }
  if (shard.kernels.dropout) {
    follow(work, dropout_work(model, shard));
  }
  return work;
}

}  // namespace blocks
}  // namespace foretrain
