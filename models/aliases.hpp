// What Hugging Face, Megatron-LM, llm-foundry and torchtitan call the keys of a model file.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "sim/config/reader.hpp"

namespace foretrain {

inline constexpr std::array kModelAliases{
    config::Alias{"num_layers", "layers"},
    config::Alias{"num_hidden_layers", "layers"},
    config::Alias{"n_layers", "layers"},
    config::Alias{"n_layer", "layers"},
    config::Alias{"hidden_size", "hidden"},
    config::Alias{"n_embd", "hidden"},
    config::Alias{"d_model", "hidden"},
    config::Alias{"dim", "hidden"},
    config::Alias{"num_attention_heads", "heads"},
    config::Alias{"num_heads", "heads"},
    config::Alias{"n_heads", "heads"},
    config::Alias{"n_head", "heads"},
    config::Alias{"num_key_value_heads", "kv_heads"},
    config::Alias{"num_query_groups", "kv_heads"},
    config::Alias{"n_kv_heads", "kv_heads"},
    config::Alias{"kv_n_heads", "kv_heads"},
    config::Alias{"kv_channels", "head_dim"},
    config::Alias{"intermediate_size", "ffn"},
    config::Alias{"ffn_hidden_size", "ffn"},
    config::Alias{"hidden_dim", "ffn"},
    config::Alias{"n_inner", "ffn"},
    config::Alias{"d_ff", "ffn"},
    config::Alias{"vocab_size", "vocabulary"},
    config::Alias{"padded_vocab_size", "vocabulary"},
    config::Alias{"max_position_embeddings", "max_positions"},
    config::Alias{"n_positions", "max_positions"},
    config::Alias{"max_seq_len", "max_positions"},
    config::Alias{"rotary_pct", "rotary_fraction"},
    config::Alias{"rotary_percent", "rotary_fraction"},
    config::Alias{"partial_rotary_factor", "rotary_fraction"},
    config::Alias{"tie_word_embeddings", "tied_embeddings"},
    config::Alias{"use_parallel_residual", "parallel_residual"},
    config::Alias{"attention_bias", "qkv_bias"},
    config::Alias{"add_qkv_bias", "qkv_bias"},
    config::Alias{"swiglu", "mlp"},
    config::Alias{"hidden_act", "mlp"},
    config::Alias{"activation_function", "mlp"},
    config::Alias{"normalization", "norm"},
    config::Alias{"position_embedding_type", "position"},
    config::Alias{"window_size", "sliding_window"},
    config::Alias{"moe", "mixture_of_experts"},
    config::Alias{"num_experts", "mixture_of_experts.experts"},
    config::Alias{"num_local_experts", "mixture_of_experts.experts"},
    config::Alias{"num_experts_per_tok", "mixture_of_experts.experts_per_token"}};
inline constexpr std::array kExpertAliases{
    config::Alias{"num_experts", "experts"},
    config::Alias{"num_local_experts", "experts"},
    config::Alias{"num_experts_per_tok", "experts_per_token"},
    config::Alias{"moe_router_topk", "experts_per_token"},
    config::Alias{"top_k", "experts_per_token"},
    config::Alias{"intermediate_size", "ffn"},
    config::Alias{"moe_intermediate_size", "ffn"},
    config::Alias{"moe_ffn_hidden_size", "ffn"},
    config::Alias{"shared_expert_intermediate_size", "shared_ffn"},
    config::Alias{"moe_shared_expert_intermediate_size", "shared_ffn"},
    config::Alias{"n_shared_experts", "shared_ffn"},
    config::Alias{"num_shared_experts", "shared_ffn"},
    config::Alias{"topk_group", "most_nodes"},
    config::Alias{"node_limited_routing", "most_nodes"}};

}  // namespace foretrain
