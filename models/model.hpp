// A transformer architecture as data: what the blocks need to count parameters, FLOPs and bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/config/reader.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

enum class NormKind : std::uint8_t { layer_norm, layer_norm_without_bias, rms_norm };
enum class MlpKind : std::uint8_t { plain, gated };  ///< two matrices (GELU) or three (SwiGLU)
enum class PositionKind : std::uint8_t { none, learned, rotary, alibi };

/// Mixture of experts: every MLP is `experts` MLPs, of which each token visits `experts_per_token`,
/// and what every token visits besides (DeepSeek's and Qwen's shared experts).
struct MixtureOfExperts {
  std::int64_t experts = 1;
  std::int64_t experts_per_token = 1;
  std::int64_t ffn = 0;         ///< inner width of one expert; 0: the model's
  std::int64_t shared_ffn = 0;  ///< inner width of all shared experts together; 0: there are none
  bool shared_gate = false;     ///< a gate of `hidden` weights scales what they put out (Qwen)
  std::int64_t most_nodes = 0;  ///< over which the experts of a token may be spread; 0: over all
  bool operator==(const MixtureOfExperts&) const = default;
};

/// A parameter count that was published rounded, such as "174.6 G": half a unit of its last digit
/// either way.
struct PublishedSize {
  double value = 0;
  double tolerance = 0;
  bool operator==(const PublishedSize&) const = default;
};

struct Model {
  std::string name;
  std::string source;  ///< where the shape was published
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t ffn = 0;  ///< inner width of the MLP (of one expert)
  std::int64_t vocabulary = 0;
  MlpKind mlp = MlpKind::plain;
  NormKind norm = NormKind::layer_norm;
  PositionKind position = PositionKind::none;
  std::int64_t max_positions = 0;  ///< rows of the learned position table
  double rotary_fraction = 1.0;    ///< share of the head dimension that is rotated
  bool tied_embeddings = false;    ///< the LM head reuses the token embedding
  bool qkv_bias = false;
  bool attention_output_bias = false;
  bool mlp_bias = false;
  bool parallel_residual = false;   ///< attention and MLP read the same input (GPT-J, NeoX)
  bool embedding_norm = false;      ///< a norm right after the embedding (BLOOM)
  std::int64_t sliding_window = 0;  ///< 0: attention sees the whole sequence
  std::optional<MixtureOfExperts> moe;
  std::optional<std::int64_t> published_parameters;  ///< where every digit is known
  std::optional<PublishedSize> published_size;       ///< where it is known rounded

  bool operator==(const Model&) const = default;
};

/// The inner width of one expert. REQUIRES: the model has experts.
[[nodiscard]] inline std::int64_t expert_ffn(const Model& model) {
  return model.moe->ffn > 0 ? model.moe->ffn : model.ffn;
}

/// Trainable parameters of the whole model, to the digit, with the model's own vocabulary
/// (unpadded). REQUIRES: as read by read_model or read_hugging_face, whose limits keep the count
/// within int64.
[[nodiscard]] std::int64_t parameters(const Model& model);
/// The same without embeddings, position table and untied LM head.
[[nodiscard]] std::int64_t non_embedding_parameters(const Model& model);

/// Layers of one kind are computed alike. Kinds are numbered from 0 in the order of their first
/// layer.
[[nodiscard]] std::size_t num_layer_kinds(const Model& model);
/// REQUIRES: 0 <= layer < model.layers.
[[nodiscard]] std::size_t layer_kind(const Model& model, std::int64_t layer);

/// Matrix-multiply FLOPs of one forward pass over one sequence, counting the full attention square
/// (no halving for causality), as Megatron-LM (SC'21, eq. 3) and PaLM count model FLOPs: per layer
/// projections, attention 4 s^2 d a, MLP (top-k experts and the router), plus the LM head 2 s h V.
/// With a sliding window w < s the square is a band: s w instead of s^2.
[[nodiscard]] Flops forward_flops(const Model& model, std::int64_t sequence_length);
/// The attention-score part of it: 4 s^2 d a per layer (4 s w d a with a window), all layers.
[[nodiscard]] Flops attention_core_flops(const Model& model, std::int64_t sequence_length);
/// The LM-head part of it.
[[nodiscard]] Flops head_flops(const Model& model, std::int64_t sequence_length);

/// Reads a model file (TOML tree). Reports to the reader's diagnostics; checks across fields
/// (hidden = heads x head_dim unless head_dim is given, heads a multiple of kv_heads, the parameter
/// count equal to the published one, ...).
[[nodiscard]] Model read_model(config::Reader& reader);

/// Reads a Hugging Face config.json tree: model_type gpt2, gpt_neox, llama, mistral, qwen2,
/// mixtral, with each class's defaults for absent keys. An unknown model_type names those
/// supported. Keys without effect on time or memory are passed over; any other unknown key is a
/// mistake, for what is not modelled must not be ignored. The file does not say how dropout is
/// trained, nor in which precision or at which sequence length: those are the stack's and the
/// run's.
[[nodiscard]] Model read_hugging_face(config::Reader& reader, std::string name);

/// A name in models/, a path to a .toml, a path to a config.json, or a folder that holds one.
/// Throws ConfigError; an unknown name lists the nearest. `directory` is the catalogue's folder.
[[nodiscard]] Model load_model(config::Sources& sources, const std::string& name_or_path,
                               const std::string& directory);

}  // namespace foretrain
