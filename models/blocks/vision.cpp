// What stands before, and after, the layers of a vision tower. Patches and projector are computed
// by every tensor-parallel rank whole (assumed: they are a percent or two of a model), so nothing
// is sent for them.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/parts.hpp"

namespace foretrain::blocks {
namespace {

// A linear layer is a sum over pixels of patches that do not overlap (Dosovitskiy et al. 2020,
// section 3.1). Pixels need no gradient.
Work patches(const Model& model, const Shard& part) {
  const VisionTower& tower = *model.vision;
  Linear layer = linear_layer({"patches", "", "patches_weight_gradient", ""}, part, tower.hidden,
                              tower.patch_elements);
  layer.rows = part.micro_batch * tower.patches;
  Work work;
  work.parameters = layer.parameters() + (tower.class_token ? tower.hidden : 0);
  append_forward(work.forward, layer);
  append_weight_gradient(work.backward, layer, part);
  work.saved = {saved("patches_input", linear_input_bytes(part) * static_cast<double>(layer.rows) *
                                           static_cast<double>(tower.patch_elements))};
  return work;
}

Work positions(const VisionTower& tower, const Shard& part) {
  const double bytes = activation_bytes(part) * inside(part, tower.hidden);
  Work work;
  work.parameters = tower.positions * tower.hidden;
  work.forward = {memory_step("patch_position_add", MemoryOp::streaming, 3 * bytes)};
  work.backward = {memory_step("patch_position_gradient", MemoryOp::streaming, bytes)};
  return work;
}

// A patch's outputs, `merged_patches` of them side by side, go through two linear layers.
Work projector(const Model& model, const Model& vision, const Shard& shard) {
  const VisionTower& tower = *model.vision;
  const std::int64_t rows = shard.micro_batch * tower.language_tokens();
  Linear up = linear_layer({"projector_up", "projector_up_input_gradient",
                            "projector_up_weight_gradient", "projector_up_bias_gradient"},
                           shard, tower.projector_hidden, tower.hidden * tower.merged_patches);
  Linear down = linear_layer({"projector_down", "projector_down_input_gradient",
                              "projector_down_weight_gradient", "projector_down_bias_gradient"},
                             shard, model.hidden, tower.projector_hidden);
  up.rows = down.rows = rows;
  up.has_bias = down.has_bias = true;
  const double inner = static_cast<double>(rows) * static_cast<double>(tower.projector_hidden);
  const Work activation = activation_work(vision, shard, inner);
  Work work;
  work.parameters = up.parameters() + down.parameters();
  append_forward(work.forward, up);
  append(work.forward, activation.forward);
  append_forward(work.forward, down);
  append_bias_gradient(work.backward, down, shard);
  append_input_gradient(work.backward, down);
  append_weight_gradient(work.backward, down, shard);
  append(work.backward, activation.backward);
  append_bias_gradient(work.backward, up, shard);
  append_input_gradient(work.backward, up);
  append_weight_gradient(work.backward, up, shard);
  work.saved = {saved("projector_input", linear_input_bytes(shard) * static_cast<double>(rows) *
                                             static_cast<double>(up.inputs))};
  append(work.saved, activation.saved);
  work.saved.push_back(saved("projector_down_input", linear_input_bytes(shard) * inner));
  return work;
}

// The rows of images take their places among those of the text; backward they are fetched.
Work placing(const Model& model, const Shard& shard) {
  const std::int64_t rows = shard.micro_batch * model.vision->language_tokens();
  const double elements = static_cast<double>(rows) * static_cast<double>(model.hidden);
  Work work;
  work.forward = {row_step("image_placing", MemoryOp::gather, 2, elements, rows, shard)};
  work.backward = {row_step("image_placing_gradient", MemoryOp::gather, 2, elements, rows, shard)};
  return work;
}

}  // namespace

Shard vision_shard(const Model& model, const Shard& shard) {
  Shard part = shard;
  part.micro_batch = shard.micro_batch * model.vision->images;
  part.sequence = model.vision->tokens();
  part.context = 1;
  return part;
}

Work patch_work(const Model& model, const Shard& shard) {
  const VisionTower& tower = *model.vision;
  const Shard part = vision_shard(model, shard);
  Work work = patches(model, part);
  if (tower.positions > 0) {
    follow(work, positions(tower, part));
  }
  if (tower.patch_norm) {
    follow(work, norm_work(layer_model(model, 0), part,
                           {"patch_norm", "patch_norm_gradient", "patch_norm_input"}));
  }
  work.stream_elements = inside(part, tower.hidden);
  return work;
}

Work image_entry_work(const Model& model, const Shard& shard) {
  const Model vision = layer_model(model, 0);
  Work work = norm_work(vision, vision_shard(model, shard),
                        {"vision_norm", "vision_norm_gradient", "vision_norm_input"});
  follow(work, projector(model, vision, shard));
  follow(work, text_embedding_work(model, shard));
  follow(work, placing(model, shard));
  return work;
}

}  // namespace foretrain::blocks
