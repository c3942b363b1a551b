// The end of the last stage: final norm, LM head, and the loss over a vocabulary that is split over
// the tensor-parallel ranks.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "models/blocks/parts.hpp"

namespace foretrain {
namespace {

// Passes of the loss over this rank's logits. Forward: cast to fp32 (read 2, write 4), find the
// maximum (read 4), exponentiate and sum (read 4, write 4), normalise (read 4, write 4). Backward:
// subtract the target and scale (read 4, write 4), cast back (read 4, write 2). fp32 needs no
// casts.
struct LossBytes {
  double forward;
  double backward;
};
LossBytes loss_bytes(double activation_bytes) {
  const double cast = activation_bytes < 4 ? activation_bytes + 4 : 0;
  return {cast + 4 + 8 + 8, 8 + cast};
}

blocks::Linear head_layer(const Model& model, const Shard& shard) {
  blocks::Linear head;
  head.names = {"lm_head", "lm_head_input_gradient", "lm_head_weight_gradient", ""};
  head.dtype = blocks::unquantized(shard.dtype);
  head.rows = shard.tokens();
  head.outputs = blocks::table_rows(model, shard);
  head.inputs = model.hidden;
  return head;
}

}  // namespace

namespace blocks {

Work loss_work(const Model& model, const Shard& shard, const NormNames& norm) {
  const double e = activation_bytes(shard);
  const std::int64_t rows = table_rows(model, shard);
  const bool is_gathered = shard.kernels.gathered_logits && shard.tensor > 1;
  const double logits = inside(shard, is_gathered ? rows * shard.tensor : rows);
  const Linear head = head_layer(model, shard);
  const LossBytes loss = loss_bytes(e);
  Work work = norm_work(model, shard, norm);
  work.stream_elements = inside(shard, model.hidden);
  work.forward.push_back({"enter_tensor_parallel", Boundary::enter_tensor_parallel, false});
  append_forward(work.forward, head);
  if (is_gathered) {
    work.forward.push_back({"gather_logits", Boundary::gather_logits, false});
  }
  work.forward.push_back(memory_step("cross_entropy", MemoryOp::softmax, loss.forward * logits));
  if (!is_gathered) {
    work.forward.push_back({"sum_loss", Boundary::sum_loss, false});
  }

  std::vector<Step> backward = {
      memory_step("cross_entropy_gradient", MemoryOp::softmax, loss.backward * logits)};
  append_input_gradient(backward, head);
  append_weight_gradient(backward, head, shard);
  backward.push_back({"enter_tensor_parallel", Boundary::enter_tensor_parallel, false});
  append(backward, work.backward);
  work.backward = std::move(backward);

  // Korthikanti et al. 2022, section 4.3: 4 s b h / t (1 + V / h), which is the norm's input, the
  // head's input, and the logits in fp32.
  work.saved.push_back(saved("lm_head_input", e * outside(shard, model.hidden)));
  work.saved.push_back(saved("logits", 4 * logits));
  if (is_gathered) {  // the 16-bit logits of all ranks, and their softmax in fp32
    work.saved.push_back(saved("gathered_logits", (e + 4) * logits));
  }
  return work;
}

}  // namespace blocks

Work head_work(const Model& model, const Shard& shard, bool holds_embedding) {
  Work work =
      blocks::loss_work(model, shard, {"final_norm", "final_norm_gradient", "final_norm_input"});
  work.parameters +=
      model.tied_embeddings && holds_embedding ? 0 : head_layer(model, shard).parameters();
  if (model.multi_token_predictions > 0) {
    blocks::follow(work, blocks::multi_token_work(model, shard, holds_embedding));
  }
  return work;
}

}  // namespace foretrain
