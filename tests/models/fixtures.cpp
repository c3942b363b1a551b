// SPDX-License-Identifier: Apache-2.0
#include "tests/models/fixtures.hpp"

#include <algorithm>
#include <variant>

#include "sim/config/value.hpp"

namespace foretrain::testing {
namespace {

Model sized(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
  Model model;
  model.layers = layers;
  model.hidden = hidden;
  model.heads = heads;
  model.kv_heads = heads;
  model.head_dim = hidden / heads;
  model.ffn = 4 * hidden;
  model.vocabulary = 51200;
  return model;
}

template <class Read>
Model read(const config::Value& tree, Read read_into) {
  config::Diagnostics diagnostics;
  config::Reader reader(tree, "", diagnostics);
  Model model = read_into(reader);
  diagnostics.throw_if_any();
  return model;
}

template <class Read>
std::string mistakes(Read read_text) {
  try {
    static_cast<void>(read_text());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

Model gpt(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
  Model model = sized(layers, hidden, heads);
  model.position = PositionKind::learned;
  model.max_positions = 2048;
  model.tied_embeddings = true;
  model.qkv_bias = model.attention_output_bias = model.mlp_bias = true;
  return model;
}

Model neox(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
  Model model = gpt(layers, hidden, heads);
  model.position = PositionKind::rotary;
  model.max_positions = 0;
  model.rotary_fraction = 0.25;
  model.tied_embeddings = false;
  model.parallel_residual = true;
  return model;
}

Model llama(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
  Model model = sized(layers, hidden, heads);
  model.norm = NormKind::rms_norm;
  model.mlp = MlpKind::gated;
  model.position = PositionKind::rotary;
  model.kv_heads = heads / 4;
  model.ffn = 3 * hidden;
  return model;
}

Model mixtral(std::int64_t layers, std::int64_t hidden, std::int64_t heads) {
  Model model = llama(layers, hidden, heads);
  model.moe = MixtureOfExperts{8, 2};
  return model;
}

Shard shard(std::int64_t micro_batch, std::int64_t sequence, std::int64_t tensor) {
  Shard result;
  result.micro_batch = micro_batch;
  result.sequence = sequence;
  result.tensor = tensor;
  result.kernels.attention = AttentionKernel::unfused;
  return result;
}

double gemm_flops(const std::vector<Step>& steps) {
  double sum = 0;
  for (const Step& step : steps) {
    if (const auto* gemm = std::get_if<Gemm>(&step.what)) {
      sum += 2.0 * static_cast<double>(gemm->batch * gemm->m) * static_cast<double>(gemm->n) *
             static_cast<double>(gemm->k);
    }
  }
  return sum;
}

std::int64_t count_of(const std::vector<Step>& steps, Boundary boundary) {
  return std::count_if(steps.begin(), steps.end(), [&](const Step& step) {
    const auto* found = std::get_if<Boundary>(&step.what);
    return found != nullptr && *found == boundary;
  });
}

Model model_from_toml(const std::string& text) {
  config::Sources sources;
  return read(config::parse_toml(sources, "m.toml", text), read_model);
}

Model model_from_json(const std::string& text) {
  config::Sources sources;
  return read(config::parse_json(sources, "config.json", text),
              [](config::Reader& reader) { return read_hugging_face(reader, "test"); });
}

std::string mistakes_in_toml(const std::string& text) {
  return mistakes([&] { return model_from_toml(text); });
}

std::string mistakes_in_json(const std::string& text) {
  return mistakes([&] { return model_from_json(text); });
}

bool contains(const std::string& message, std::string_view part) {
  return message.find(part) != std::string::npos;
}

}  // namespace foretrain::testing
