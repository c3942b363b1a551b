// A transformer architecture as data: what the blocks need to count parameters, FLOPs and bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/vision.hpp"
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

/// A row of the table in models/blocks/catalog.cpp, by name, and the sizes that only it has, in the
/// order of the row.
struct BlockChoice {
  std::string name;
  std::vector<std::int64_t> sizes;
  bool operator==(const BlockChoice&) const = default;
};

/// How the layers of one model differ from one another.
struct LayerPattern {
  std::int64_t dense_layers = 0;   ///< the first layers have an MLP where the others have experts
  std::int64_t experts_every = 1;  ///< after those, the last of every n has experts
  std::int64_t full_attention_every = 0;  ///< the last of every n is attention over the whole
                                          ///< sequence, the others as `mixer` and `sliding_window`
                                          ///< say; 0: all are as those say
  bool operator==(const LayerPattern&) const = default;
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
  std::string source;       ///< where the shape was published
  std::int64_t layers = 0;  ///< with those of the vision tower, which come first
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t ffn = 0;  ///< inner width of the MLP; of one expert where that says nothing else
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
  bool shared_norm = false;         ///< with a parallel residual: one norm for both (PaLM, GPT-J)
  bool branch_norms = false;        ///< a second norm at the end of each branch (Gemma 2)
  bool qk_norm = false;             ///< a norm over each head of queries and keys (Qwen3)
  bool is_causal = true;            ///< a token sees only those before it
  bool embedding_norm = false;      ///< a norm right after the embedding (BLOOM)
  std::int64_t sliding_window = 0;  ///< 0: attention sees the whole sequence
  std::optional<MixtureOfExperts> moe;
  BlockChoice mixer{"attention", {}};   ///< of the blocks that let tokens see one another
  BlockChoice feed_forward{"mlp", {}};  ///< of those that work on each token; experts if `moe`
  LayerPattern pattern;
  std::int64_t multi_token_predictions = 0;  ///< tokens predicted beyond the next (DeepSeek-V3)
  std::optional<VisionTower> vision;
  std::optional<std::int64_t> published_parameters;  ///< where every digit is known
  std::optional<PublishedSize> published_size;       ///< where it is known rounded

  bool operator==(const Model&) const = default;
};

/// The inner width of one expert. REQUIRES: the model has experts.
[[nodiscard]] inline std::int64_t expert_ffn(const Model& model) {
  return model.moe->ffn > 0 ? model.moe->ffn : model.ffn;
}

/// Layers of one kind are computed alike. Kinds are numbered from 0 in the order of their first
/// layer; there is at least one.
[[nodiscard]] std::size_t num_layer_kinds(const Model& model);
/// The kind of a layer. REQUIRES: 0 <= layer < model.layers.
[[nodiscard]] std::size_t layer_kind(const Model& model, std::int64_t layer);
/// How many layers are of this kind.
[[nodiscard]] std::int64_t layers_of_kind(const Model& model, std::size_t kind);
/// The model with this kind's sizes and blocks, and without pattern and tower: blocks see only such
/// models. With a vision tower kind 0 is its layers, and kind 1 the layer that takes the images in.
[[nodiscard]] Model layer_model(const Model& model, std::size_t kind);

/// Whether the first and the last stage of a pipeline both hold the token embedding.
[[nodiscard]] inline bool shares_embedding(const Model& model) {
  return model.tied_embeddings || model.multi_token_predictions > 0;
}

/// Trainable parameters of the whole model, to the digit, with the model's own vocabulary
/// (unpadded). REQUIRES: as read by read_model or read_hugging_face, whose limits keep the count
/// within int64.
[[nodiscard]] std::int64_t parameters(const Model& model);
/// The part of them that only predicts tokens beyond the next; published counts leave it out.
[[nodiscard]] std::int64_t multi_token_parameters(const Model& model);
/// What one token is multiplied with in a forward pass: all but the tables that are only looked up,
/// the experts that it does not visit, and the prediction of tokens beyond the next.
[[nodiscard]] std::int64_t activated_parameters(const Model& model);
/// The same without embeddings, position table and untied LM head.
[[nodiscard]] std::int64_t non_embedding_parameters(const Model& model);

/// Matrix-multiply FLOPs of one forward pass over one sequence, counting the full attention square
/// (no halving for causality), as Megatron-LM (SC'21, eq. 3) and PaLM count model FLOPs: per layer
/// projections, attention 4 s^2 d a, MLP (top-k experts and the router), plus the LM head 2 s h V.
/// With a sliding window w < s the square is a band: s w instead of s^2. Linear attention counts
/// the chunked form that is trained with (blocks/chunked_core.cpp).
[[nodiscard]] Flops forward_flops(const Model& model, std::int64_t sequence_length);
/// The part of all layers that multiplies tokens with tokens: for attention 4 s^2 d a per layer
/// (4 s w d a with a window).
[[nodiscard]] Flops attention_core_flops(const Model& model, std::int64_t sequence_length);
/// The part before the first layer: the patches of images.
[[nodiscard]] Flops embedding_flops(const Model& model, std::int64_t sequence_length);
/// The part after the last layer: the LM head, and all that predicts tokens beyond the next.
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
