// Multi-token prediction: modules after the last layer that each predict one token further, with
// the head that the model has. DeepSeek-V3's report, section 2.2, equations 21 to 23.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

// Looks up the next token's row. A stage without the table holds a copy of it, as the last stage of
// Megatron-Core does.
Work next_token(const Model& model, const Shard& shard) {
  Model plain = model;
  plain.position = PositionKind::none;
  plain.embedding_norm = false;
  Shard dry = shard;
  dry.kernels.dropout = false;
  Work work = text_embedding_work(plain, dry);
  work.parameters = 0;
  return work;
}

// Both norms, one tensor beside the other (two read, two written), and the projection from 2 h to
// h, row-parallel: each rank multiplies 1/t of the inputs, and the results are summed.
Work projection(const Model& model, const Shard& shard) {
  const double concatenation = 4 * activation_bytes(shard) * outside(shard, model.hidden);
  const Linear layer =
      linear_layer({"prediction_projection", "prediction_projection_input_gradient",
                    "prediction_projection_weight_gradient", ""},
                   shard, model.hidden, 2 * model.hidden / shard.tensor);
  Work work = norm_work(model, shard,
                        {"prediction_norm", "prediction_norm_gradient", "prediction_norm_input"});
  follow(work, norm_work(model, shard,
                         {"next_token_norm", "next_token_norm_gradient", "next_token_norm_input"}));
  Work joined;
  joined.parameters = layer.parameters();
  joined.forward = {memory_step("prediction_concatenation", MemoryOp::streaming, concatenation),
                    {"enter_tensor_parallel", Boundary::enter_tensor_parallel, false}};
  append_forward(joined.forward, layer);
  joined.forward.push_back({"leave_tensor_parallel", Boundary::leave_tensor_parallel, false});
  joined.backward = {{"leave_tensor_parallel", Boundary::leave_tensor_parallel, false}};
  append_input_gradient(joined.backward, layer);
  append_weight_gradient(joined.backward, layer, shard);
  joined.backward.push_back({"enter_tensor_parallel", Boundary::enter_tensor_parallel, false});
  joined.backward.push_back(
      memory_step("prediction_gradient_split", MemoryOp::streaming, concatenation));
  joined.saved = {saved("prediction_projection_input",
                        2 * linear_input_bytes(shard) * outside(shard, model.hidden))};
  follow(work, joined);
  return work;
}

// The module's gradient of the stream joins that of the head or module before it.
Work stream_join(const Model& model, const Shard& shard) {
  Work work;
  work.backward = {memory_step("prediction_gradient_add", MemoryOp::streaming,
                               3 * activation_bytes(shard) * outside(shard, model.hidden))};
  return work;
}

}  // namespace

Work multi_token_work(const Model& model, const Shard& shard, bool holds_embedding) {
  const std::size_t kind = layer_kind(model, model.layers - 1);
  Work work;
  if (!holds_embedding && !model.tied_embeddings) {
    work.parameters = table_rows(model, shard) * model.hidden;
  }
  for (std::int64_t module = 0; module < model.multi_token_predictions; ++module) {
    follow(work, stream_join(model, shard));
    follow(work, next_token(model, shard));
    follow(work, projection(model, shard));
    follow(work, layer_work(model, shard, kind));
    follow(work, loss_work(model, shard,
                           {"prediction_final_norm", "prediction_final_norm_gradient",
                            "prediction_final_norm_input"}));
  }
  return work;
}

}  // namespace foretrain::blocks
