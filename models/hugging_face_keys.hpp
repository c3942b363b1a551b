// Which keys of a config.json have no effect on time or memory, and which would have one that is
// not modelled. Data only; the reader is hugging_face.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <utility>

namespace foretrain {

using KeyAndReason = std::pair<std::string_view, std::string_view>;

inline constexpr KeyAndReason kRefusedKeys[] = {
    {"quantization_config",
     "training on quantised weights is not modelled; remove this table to "
     "simulate the model in the run's precision"},
    {"auto_map",
     "names Python code that replaces the class of model_type; what it computes cannot "
     "be known from this file"},
    {"vision_config", "a model of images is not modelled"},
    {"audio_config", "a model of sound is not modelled"},
};

inline constexpr KeyAndReason kFalseOnlyKeys[] = {
    {"is_encoder_decoder", "an encoder-decoder model is not modelled"},
    {"add_cross_attention", "cross attention is not modelled"},
};

inline constexpr std::string_view kIgnoredKeys[] = {
    // Where the file comes from, and how weights are stored; the run states the training precision.
    "_name_or_path",
    "_commit_hash",
    "architectures",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "torchscript",
    "use_bfloat16",
    "finetuning_task",
    "unsloth_version",
    // Numbers that enter an operation without changing its cost.
    "initializer_range",
    "rms_norm_eps",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "hidden_act",
    "activation_function",
    "rope_theta",
    "rope_scaling",
    "rotary_emb_base",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "reorder_and_upcast_attn",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "output_router_logits",
    "pretraining_tp",
    "n_ctx",
    "hidden_activation",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "rope_interleave",
    // How a router chooses; which nodes it may choose among is not written in these files.
    "norm_topk_prob",
    "scoring_func",
    "topk_method",
    "n_group",
    "topk_group",
    "routed_scaling_factor",
    "aux_loss_alpha",
    "seq_aux",
    "ep_size",
    // Whether dropout is trained with is a fact of the stack.
    "attention_dropout",
    "hidden_dropout",
    "classifier_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "summary_first_dropout",
    // Tokens.
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "bos_token",
    "eos_token",
    "decoder_start_token_id",
    "tokenizer_class",
    "prefix",
    // Other heads than the language model's, and other uses than training.
    "summary_activation",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "task_specific_params",
    "problem_type",
    "id2label",
    "label2id",
    "num_labels",
    "use_cache",
    "cache_implementation",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "return_dict",
    "return_dict_in_generate",
    "use_return_dict",
    "is_decoder",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "cross_attention_hidden_size",
    "chunk_size_feed_forward",
    "pruned_heads",
    "gradient_checkpointing",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_autoset",
    // Generation.
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "num_return_sequences",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "suppress_tokens",
    "begin_suppress_tokens",
    "exponential_decay_length_penalty",
};

}  // namespace foretrain
