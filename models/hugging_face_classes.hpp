// The model classes of Hugging Face transformers that a config.json may name.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "models/check_shape.hpp"
#include "models/model.hpp"

namespace foretrain {

/// The model classes of transformers that can be read.
enum class Family : std::uint8_t {
  gpt2,
  gpt_neox,
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  qwen3_moe,
  gemma2,
  deepseek_v3
};

inline constexpr std::array kFamilies{config::Choice<Family>{"gpt2", Family::gpt2},
                                      config::Choice<Family>{"gpt_neox", Family::gpt_neox},
                                      config::Choice<Family>{"llama", Family::llama},
                                      config::Choice<Family>{"mistral", Family::mistral},
                                      config::Choice<Family>{"mixtral", Family::mixtral},
                                      config::Choice<Family>{"qwen2", Family::qwen2},
                                      config::Choice<Family>{"qwen3", Family::qwen3},
                                      config::Choice<Family>{"qwen3_moe", Family::qwen3_moe},
                                      config::Choice<Family>{"gemma2", Family::gemma2},
                                      config::Choice<Family>{"deepseek_v3", Family::deepseek_v3}};

/// The class as it is without any key. kv_heads, head_dim and ffn are 0 where they follow from
/// other sizes: as many as heads, hidden / heads, and four times hidden.
[[nodiscard]] Model defaults_of(Family family);

/// What the class calls its sizes.
[[nodiscard]] ShapeKeys keys_of(Family family);

/// The keys of latent attention and of experts that the younger classes have.
void read_latent_attention(config::Reader& reader, Model& model);
void read_expert_layers(config::Reader& reader, Family family, Model& model);

}  // namespace foretrain
