// The table of blocks. Each row's functions come from the one function that the block's file
// defines, declared here.
// SPDX-License-Identifier: Apache-2.0
#include "models/blocks/catalog.hpp"

#include <array>
#include <string>

#include "sim/core/table.hpp"

namespace foretrain {
namespace blocks {

BlockFunctions attention();
BlockFunctions latent_attention();
BlockFunctions gated_linear_attention();
BlockFunctions rwkv_time_mix();
BlockFunctions mlp();
BlockFunctions mixture_of_experts();
BlockFunctions rwkv_channel_mix();

}  // namespace blocks

namespace {

constexpr auto kMixer = BlockRole::mixer;
constexpr auto kFeedForward = BlockRole::feed_forward;

// clang-format off
constexpr std::array<BlockKind, 7> kBlocks = {{
    {"attention", "Softmax attention, key-value heads shared or not (MHA, GQA, MQA), over all tokens or a window", kMixer, blocks::attention},
    {"latent_attention", "Multi-head latent attention (DeepSeek-V2): queries, keys and values through low ranks", kMixer, blocks::latent_attention},
    {"gated_linear_attention", "Linear attention with a decay per channel (GLA), in chunks: linear in the sequence", kMixer, blocks::gated_linear_attention},
    {"rwkv_time_mix", "RWKV-6's time mixing: linear attention with mixed-in previous tokens, in chunks", kMixer, blocks::rwkv_time_mix},
    {"mlp", "Two matrices and an activation, or three with a gate (SwiGLU, GeGLU)", kFeedForward, blocks::mlp},
    {"mixture_of_experts", "Many MLPs, of which a router picks a few for each token", kFeedForward, blocks::mixture_of_experts},
    {"rwkv_channel_mix", "RWKV's channel mixing: squared ReLU, gated, with mixed-in previous tokens", kFeedForward, blocks::rwkv_channel_mix},
}};
// clang-format on

}  // namespace

std::span<const BlockKind> block_kinds() { return kBlocks; }

const BlockKind& block_kind(std::string_view name) { return row_named(kBlocks, name, "block"); }

const BlockKind& mixer_of(const Model& model) { return block_kind(model.mixer.name); }

const BlockKind& feed_forward_of(const Model& model) {
  return block_kind(model.moe ? "mixture_of_experts" : model.feed_forward.name);
}

}  // namespace foretrain
