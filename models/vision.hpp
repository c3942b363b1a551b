// A vision transformer before a language model: images are cut into patches, run through layers of
// their own, and projected into the language model's sequence.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace foretrain {

/// A sequence of the language model holds `images` images. Sizes are those of Dosovitskiy et al.
/// 2020 (ViT); the projector is two linear layers with an activation between them, as in LLaVA-1.5
/// and Qwen2-VL.
struct VisionTower {
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t ffn = 0;
  std::int64_t patch_elements = 0;  ///< numbers of one patch: channels x height x width x frames
  std::int64_t patches = 0;         ///< of one image
  std::int64_t images = 1;          ///< in one sequence
  std::int64_t merged_patches = 1;  ///< patches that become one token of the language model
  std::int64_t projector_hidden = 0;
  std::int64_t positions = 0;  ///< rows of a learned table; 0: queries and keys are rotated
  bool class_token = false;    ///< one more token for the tower, which the projector drops
  bool patch_norm = false;     ///< a norm before the first layer

  /// Tokens of one image in the tower, and of one sequence's images in the language model.
  [[nodiscard]] std::int64_t tokens() const { return patches + (class_token ? 1 : 0); }
  [[nodiscard]] std::int64_t language_tokens() const { return images * patches / merged_patches; }

  bool operator==(const VisionTower&) const = default;
};

}  // namespace foretrain
