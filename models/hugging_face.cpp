// Reads a config.json of Hugging Face transformers. Files leave out keys that equal the default of
// their class, which hugging_face_classes.cpp knows.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "models/check_shape.hpp"
#include "models/hugging_face_classes.hpp"
#include "models/hugging_face_keys.hpp"
#include "models/model.hpp"

namespace foretrain {
namespace {

using config::Range;
using config::Reader;

// Unlike Reader::has, does not make the key a name that errors suggest.
bool has(const Reader& reader, std::string_view key) {
  const std::vector<std::string> keys = reader.keys();
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

void refuse_if_true(Reader& reader, std::string_view key, std::string_view reason) {
  if (has(reader, key) && reader.get<bool>(key)) {
    reader.fail(key, std::string(reason));
  }
}

// gpt2 writes its sizes under names of its own, but reads the common ones as well.
std::int64_t size_of_either(Reader& reader, std::string_view common, std::string_view own,
                            std::int64_t fallback, Range range) {
  const auto first = reader.maybe_count(common, range);
  const auto second = reader.maybe_count(own, range);
  if (first && second && *first != *second) {
    reader.fail(common, fmt::format("{} contradicts {} = {}", *first, own, *second));
  }
  return first ? *first : second.value_or(fallback);
}

void read_gpt2_sizes(Reader& reader, Model& model) {
  model.layers = size_of_either(reader, "num_hidden_layers", "n_layer", model.layers, kLayers);
  model.hidden = size_of_either(reader, "hidden_size", "n_embd", model.hidden, kHidden);
  model.heads = size_of_either(reader, "num_attention_heads", "n_head", model.heads, kHeads);
  model.max_positions = size_of_either(reader, "max_position_embeddings", "n_positions",
                                       model.max_positions, kPositions);
  model.ffn = reader.count("n_inner", 4 * model.hidden, kFfn);
}

void read_sizes(Reader& reader, Family family, Model& model) {
  const std::size_t before = reader.diagnostics().size();
  std::optional<std::int64_t> head_dim;
  if (family == Family::gpt2) {
    read_gpt2_sizes(reader, model);
  } else {
    model.layers = reader.count("num_hidden_layers", model.layers, kLayers);
    model.hidden = reader.count("hidden_size", model.hidden, kHidden);
    model.heads = reader.count("num_attention_heads", model.heads, kHeads);
    model.ffn = reader.count("intermediate_size", model.ffn, kFfn);
    reader.ignore("max_position_embeddings");  // a limit of the model, not the length trained with
    if (family == Family::deepseek_v3) {
      reader.ignore("num_key_value_heads");  // as many as heads, once they are made from the rank
      model.kv_heads = model.heads;
      read_latent_attention(reader, model);
      head_dim = model.head_dim;
    } else if (family != Family::gpt_neox) {
      model.kv_heads = reader.count("num_key_value_heads",
                                    model.kv_heads > 0 ? model.kv_heads : model.heads, kHeads);
      head_dim = reader.maybe_count("head_dim", kHeadDim);
      if (!head_dim && model.head_dim > 0) {
        head_dim = model.head_dim;
      }
    }
  }
  model.kv_heads = model.kv_heads > 0 ? model.kv_heads : model.heads;
  model.vocabulary = reader.count("vocab_size", model.vocabulary, kVocabulary);
  const bool is_sound = reader.diagnostics().size() == before;
  model.head_dim =
      head_dim || !is_sound ? head_dim.value_or(1) : head_dim_of(reader, model, keys_of(family));
}

bool has_attention_bias(Family family) {
  return family == Family::llama || family == Family::gpt_neox || family == Family::qwen3 ||
         family == Family::qwen3_moe || family == Family::gemma2;
}

void read_biases(Reader& reader, Family family, Model& model) {
  if (family == Family::deepseek_v3) {
    refuse_if_true(reader, "attention_bias", "biases of latent attention are not modelled");
  }
  if (has_attention_bias(family)) {
    const bool has_bias = reader.get<bool>("attention_bias", model.qkv_bias);
    model.qkv_bias = model.attention_output_bias = has_bias;
  }
  if (family == Family::llama) {
    model.mlp_bias = reader.get<bool>("mlp_bias", false);
  }
  if (family == Family::mistral || family == Family::mixtral || family == Family::qwen2) {
    for (const std::string_view key : {"attention_bias", "mlp_bias"}) {
      refuse_if_true(reader, key,
                     "transformers passes over this key in this class; remove it, or name a class "
                     "that has it, such as llama");
    }
  }
}

// The rotated share of a head stands under one of three names: the old one of gpt_neox, the common
// one, and since release 5 inside rope_parameters. Everything else about rotation costs nothing.
void read_rotary(Reader& reader, Family family, Model& model) {
  const auto check = [](Reader& from, std::string_view key, double fraction) {
    if (!(fraction > 0 && fraction <= 1)) {
      from.fail(key, fmt::format("expected a number above 0 and at most 1, got {}", fraction));
    }
    return fraction;
  };
  if (auto table = reader.maybe_child("rope_parameters")) {
    if (const auto fraction = table->maybe<double>("partial_rotary_factor")) {
      model.rotary_fraction = check(*table, "partial_rotary_factor", *fraction);
    }
  }
  for (const std::string_view key : {"partial_rotary_factor", "rotary_pct"}) {
    if (key == "rotary_pct" && family != Family::gpt_neox) {
      continue;
    }
    if (const auto fraction = reader.maybe<double>(key)) {
      model.rotary_fraction = check(reader, key, *fraction);
    }
  }
}

// mistral: a JSON null means no window and reaches us as an absent key, so absent is no window too,
// although MistralConfig() without any file has one of 4096. transformers always writes the key.
void read_window(Reader& reader, Family family, Model& model) {
  if (family == Family::mistral || family == Family::mixtral) {
    model.sliding_window = reader.count("sliding_window", 0, {0, kPositions.most});
  }
  if (family == Family::gemma2) {
    model.sliding_window = reader.count("sliding_window", 4096, kPositions);
    reader.ignore("layer_types");  // every published file alternates, as the class does
    refuse_if_true(reader, "use_bidirectional_attention",
                   "attention to later tokens is not modelled in this class");
  }
  if (family == Family::qwen3_moe) {
    const auto window = reader.count("sliding_window", 4096, {0, kPositions.most});
    model.sliding_window = reader.get<bool>("use_sliding_window", false) ? window : 0;
    reader.ignore("max_window_layers");  // this class has no such key, though its files do
  }
  if (family != Family::qwen2 && family != Family::qwen3) {
    return;
  }
  reader.ignore("layer_types");  // follows from the three keys below
  const auto window = reader.count("sliding_window", 4096, {0, kPositions.most});
  const auto first_layer = reader.count("max_window_layers", 28, {0, kLayers.most});
  if (!reader.get<bool>("use_sliding_window", false) || first_layer >= model.layers) {
    return;
  }
  if (first_layer > 0) {
    reader.fail("use_sliding_window",
                fmt::format("max_window_layers = {} of num_hidden_layers = {} see the whole "
                            "sequence and the others a window; layers that differ are not modelled",
                            first_layer, model.layers));
  }
  model.sliding_window = window;
}

std::string_view experts_key(Family family) {
  return family == Family::qwen3_moe     ? "num_experts"
         : family == Family::deepseek_v3 ? "n_routed_experts"
                                         : "num_local_experts";
}

void read_experts(Reader& reader, Family family, Model& model) {
  if (!model.moe) {
    return;
  }
  const std::string_view key = experts_key(family);
  model.moe->experts = reader.count(key, model.moe->experts, kExperts);
  model.moe->experts_per_token =
      reader.count("num_experts_per_tok", model.moe->experts_per_token, kExperts);
  if (model.moe->experts_per_token > model.moe->experts) {
    reader.fail("num_experts_per_tok",
                fmt::format("num_experts_per_tok = {} is more than {} = {}",
                            model.moe->experts_per_token, key, model.moe->experts));
  }
  if (family != Family::mixtral) {
    read_expert_layers(reader, family, model);
  }
}

void refuse_unmodelled(Reader& reader) {
  for (const auto& [key, reason] : kRefusedKeys) {
    if (has(reader, key)) {
      reader.fail(key, std::string(reason));
      reader.ignore(key);
    }
  }
  for (const auto& [key, reason] : kFalseOnlyKeys) {
    refuse_if_true(reader, key, reason);
  }
}

Model read_family(Reader& reader, Family family) {
  Model model = defaults_of(family);
  read_sizes(reader, family, model);
  read_biases(reader, family, model);
  if (model.position == PositionKind::rotary) {
    read_rotary(reader, family, model);
  }
  read_window(reader, family, model);
  read_experts(reader, family, model);
  if (family == Family::gpt_neox) {
    model.parallel_residual = reader.get<bool>("use_parallel_residual", true);
  }
  model.tied_embeddings = reader.get<bool>("tie_word_embeddings", model.tied_embeddings);
  return model;
}

}  // namespace

Model read_hugging_face(Reader& reader, std::string name) {
  const std::size_t before = reader.diagnostics().size();
  if (has(reader, "text_config")) {
    reader.fail("text_config",
                "a multimodal model keeps its language model in here; only the "
                "language model can be simulated: save this table as a file of its "
                "own");
    return {};
  }
  const auto family = reader.choice<Family>("model_type", kFamilies);
  if (reader.diagnostics().size() != before) {
    return {};  // without its class no other key has a meaning
  }
  Model model = read_family(reader, family);
  model.name = std::move(name);
  model.source = "Hugging Face config.json, model_type " + reader.get<std::string>("model_type");
  refuse_unmodelled(reader);
  for (const std::string_view key : kIgnoredKeys) {
    reader.ignore(key);
  }
  reader.finish();
  if (reader.diagnostics().size() == before) {
    check_shape(reader, model, keys_of(family));
  }
  return model;
}

}  // namespace foretrain
