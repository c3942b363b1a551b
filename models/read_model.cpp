// Reads a model file of ours. Each key and its default is written here, once.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "models/aliases.hpp"
#include "models/check_shape.hpp"
#include "models/model.hpp"
#include "models/read_blocks.hpp"

namespace foretrain {
namespace {

using config::Choice;
using config::Reader;

constexpr ShapeKeys kKeys{"hidden", "heads", "kv_heads", "head_dim", "layers"};

constexpr std::array kMlps{Choice<MlpKind>{"plain", MlpKind::plain},
                           Choice<MlpKind>{"gated", MlpKind::gated}};
constexpr std::array kNorms{
    Choice<NormKind>{"layer_norm", NormKind::layer_norm},
    Choice<NormKind>{"layer_norm_without_bias", NormKind::layer_norm_without_bias},
    Choice<NormKind>{"rms_norm", NormKind::rms_norm}};
constexpr std::array kPositionKinds{Choice<PositionKind>{"none", PositionKind::none},
                                    Choice<PositionKind>{"learned", PositionKind::learned},
                                    Choice<PositionKind>{"rotary", PositionKind::rotary},
                                    Choice<PositionKind>{"alibi", PositionKind::alibi}};

void refuse_without(Reader& reader, std::string_view key, std::string_view position) {
  if (reader.has(key)) {
    reader.fail(key, fmt::format("has no effect unless position = \"{}\"; remove it", position));
    reader.ignore(key);
  }
}

void read_position(Reader& reader, Model& model) {
  const std::size_t before = reader.diagnostics().size();
  model.position = reader.choice<PositionKind>("position", kPositionKinds);
  if (reader.diagnostics().size() != before) {  // do not judge what hangs on an unknown kind
    reader.ignore("max_positions");
    reader.ignore("rotary_fraction");
    return;
  }
  if (model.position == PositionKind::learned) {
    model.max_positions = reader.count("max_positions", kPositions);
  } else {
    refuse_without(reader, "max_positions", "learned");
  }
  if (model.position == PositionKind::rotary) {
    model.rotary_fraction = reader.get<double>("rotary_fraction", 1.0);
    if (!(model.rotary_fraction > 0 && model.rotary_fraction <= 1)) {
      reader.fail("rotary_fraction", fmt::format("expected a number above 0 and at most 1, got {}",
                                                 model.rotary_fraction));
    }
  } else {
    refuse_without(reader, "rotary_fraction", "rotary");
  }
}

void read_experts(Reader& reader, Model& model) {
  auto table = reader.maybe_child("mixture_of_experts");
  if (!table) {
    return;
  }
  const std::size_t before = reader.diagnostics().size();
  MixtureOfExperts moe;
  moe.experts = table->count("experts", kExperts);
  moe.experts_per_token = table->count("experts_per_token", kExperts);
  moe.ffn = table->maybe_count("ffn", kFfn).value_or(0);
  moe.shared_ffn = table->maybe_count("shared_ffn", kFfn).value_or(0);
  moe.shared_gate = table->get<bool>("shared_gate", false);
  moe.most_nodes = table->maybe_count("most_nodes", kExperts).value_or(0);
  if (moe.shared_gate && moe.shared_ffn == 0) {
    table->fail("shared_gate", "has no effect without shared_ffn; remove it");
  }
  read_expert_layers(*table, model);
  table->finish(kExpertAliases);
  if (reader.diagnostics().size() == before && moe.experts_per_token > moe.experts) {
    table->fail("experts_per_token", fmt::format("experts_per_token = {} is more than experts = {}",
                                                 moe.experts_per_token, moe.experts));
  }
  model.moe = moe;
}

// The tolerance is half a unit of the last digit written: "174.6 G" is 174.55 to 174.65 G.
std::optional<PublishedSize> read_published_size(Reader& reader) {
  const auto text = reader.maybe<std::string>("published_size");
  if (!text) {
    return std::nullopt;
  }
  const std::string digits = text->substr(0, text->find_first_not_of("0123456789."));
  const auto value = config::parse_count(*text);
  const auto mantissa = config::parse_count(digits);
  if (!value || !mantissa || !(*mantissa > 0)) {
    reader.fail("published_size", fmt::format("expected a count with a suffix, such as "
                                              "\"174.6 G\", got \"{}\"",
                                              *text));
    return std::nullopt;
  }
  const std::size_t point = digits.find('.');
  const std::size_t decimals = point == std::string::npos ? 0 : digits.size() - point - 1;
  const double unit = std::pow(10.0, -static_cast<double>(decimals)) * (*value / *mantissa);
  return PublishedSize{*value, unit / 2};
}

void check_published(Reader& reader, const Model& model) {
  const std::int64_t count = parameters(model) - multi_token_parameters(model);
  if (model.published_parameters && *model.published_parameters != count) {
    reader.fail("published_parameters",
                fmt::format("this shape has {} parameters, not {}", with_commas(count),
                            with_commas(*model.published_parameters)));
  }
  // The factor forgives the rounding of the decimal fraction, nothing more.
  const auto& size = model.published_size;
  if (size && std::abs(static_cast<double>(count) - size->value) > size->tolerance * 1.000001) {
    reader.fail("published_size", fmt::format("this shape has {} parameters, which does not round "
                                              "to the published size",
                                              with_commas(count)));
  }
}

void check_norms(Reader& reader, const Model& model) {
  if (model.shared_norm && !model.parallel_residual) {
    reader.fail("shared_norm", "has no effect without parallel_residual = true; remove it");
  }
  if (model.branch_norms && model.parallel_residual) {
    reader.fail("branch_norms", "with parallel_residual = true is not modelled");
  }
}

void read_sizes(Reader& reader, Model& model) {
  const std::size_t before = reader.diagnostics().size();
  model.layers = reader.count("layers", kLayers);
  model.hidden = reader.count("hidden", kHidden);
  model.heads = reader.count("heads", kHeads);
  model.kv_heads = reader.count("kv_heads", model.heads, kHeads);
  const auto head_dim = reader.maybe_count("head_dim", kHeadDim);
  const bool is_sound = reader.diagnostics().size() == before;
  model.head_dim = head_dim || !is_sound ? head_dim.value_or(1) : head_dim_of(reader, model, kKeys);
  model.vocabulary = reader.count("vocabulary", kVocabulary);
  read_blocks(reader, model);
  const bool has_mlp = model.feed_forward.name == "mlp";
  model.mlp = has_mlp ? reader.choice<MlpKind>("mlp", kMlps) : MlpKind::plain;
  // A plain MLP is four times as wide as the model unless said otherwise; a gated one has no
  // custom.
  model.ffn = model.mlp == MlpKind::plain ? reader.count("ffn", 4 * model.hidden, kFfn)
                                          : reader.count("ffn", kFfn);
}

}  // namespace

Model read_model(Reader& reader) {
  const std::size_t before = reader.diagnostics().size();
  Model model;
  model.name = reader.get<std::string>("name");
  model.source = reader.get<std::string>("source");
  read_sizes(reader, model);
  model.norm = reader.choice<NormKind>("norm", kNorms);
  read_position(reader, model);
  const bool bias = reader.get<bool>("bias", false);  // of every linear layer not named below
  model.qkv_bias = reader.get<bool>("qkv_bias", bias);
  model.attention_output_bias = reader.get<bool>("attention_output_bias", bias);
  model.mlp_bias = reader.get<bool>("mlp_bias", bias);
  model.tied_embeddings = reader.get<bool>("tied_embeddings", false);
  model.parallel_residual = reader.get<bool>("parallel_residual", false);
  model.embedding_norm = reader.get<bool>("embedding_norm", false);
  model.shared_norm = reader.get<bool>("shared_norm", false);
  model.branch_norms = reader.get<bool>("branch_norms", false);
  model.qk_norm = reader.get<bool>("qk_norm", false);
  check_norms(reader, model);
  read_attention_layers(reader, model);
  read_experts(reader, model);
  model.multi_token_predictions = reader.count("multi_token_predictions", 0, {0, 100});
  read_vision(reader, model);
  check_block_keys(reader, model);
  model.published_parameters = reader.maybe_count("published_parameters", {1, kMostParameters});
  model.published_size = read_published_size(reader);
  reader.finish(kModelAliases);
  if (reader.diagnostics().size() == before) {
    check_shape(reader, model, kKeys);
  }
  if (reader.diagnostics().size() == before) {
    check_published(reader, model);
  }
  return model;
}

}  // namespace foretrain
