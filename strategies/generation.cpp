// SPDX-License-Identifier: Apache-2.0
#include "strategies/generation.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "strategies/parallel/optimizer.hpp"
#include "strategies/stage.hpp"

namespace foretrain {
namespace {

constexpr std::array<WeightFormat, 4> kCaches = {
    {{"bf16", 2}, {"fp16", 2}, {"fp8", 1}, {"int8", 1}}};
constexpr std::array<WeightFormat, 3> kWeights = {{{"bf16", 2}, {"fp16", 2}, {"fp8", 1}}};

constexpr std::array<config::Alias, 8> kAliases = {{
    {"batch_size", "batch"},
    {"max_num_seqs", "batch"},
    {"sequences", "batch"},
    {"sequence_length", "context_length"},
    {"max_model_len", "context_length"},
    {"kv_cache_dtype", "kv_dtype"},
    {"quantization", "weight_dtype"},
    {"dtype", "weight_dtype"},
}};

WeightFormat read_format(config::Reader& reader, std::string_view key,
                         const std::vector<WeightFormat>& formats) {
  std::vector<config::Choice<const WeightFormat*>> words;
  words.reserve(formats.size());
  for (const WeightFormat& format : formats) {
    words.push_back({format.name, &format});
  }
  return *reader.choice<const WeightFormat*>(key, words, &formats.front());
}

std::vector<WeightFormat> weight_words() {
  std::vector<WeightFormat> words(kWeights.begin(), kWeights.end());
  words.insert(words.end(), weight_formats().begin(), weight_formats().end());
  return words;
}

/// What a layer caches of one sequence.
struct LayerCache {
  double numbers = 0;     ///< of one token
  std::int64_t held = 0;  ///< tokens
  bool is_split = true;   ///< over tensor parallelism
};

/// Numbers that a mixer caches for a token.
struct MixerCache {
  std::string_view mixer;
  double (*numbers)(const Model& layer);
  bool is_split;
};

double of_heads(const Model& layer) {
  return 2.0 * static_cast<double>(layer.kv_heads * layer.head_dim);
}
// The second and third size of the block: rank of the latent, width of the rotated key.
double of_latent(const Model& layer) {
  return static_cast<double>(layer.mixer.sizes.at(1) + layer.mixer.sizes.at(2));
}

constexpr std::array<MixerCache, 2> kMixers = {
    {{"attention", of_heads, true}, {"latent_attention", of_latent, false}}};

const MixerCache* mixer_cache(const Model& layer) {
  const auto* const found =
      std::find_if(kMixers.begin(), kMixers.end(),
                   [&](const MixerCache& row) { return row.mixer == layer.mixer.name; });
  return found == kMixers.end() ? nullptr : found;
}

// A vision tower sees its images once.
bool is_cached(const Model& model, std::size_t kind) { return !(model.vision && kind == 0); }

LayerCache layer_cache(const Run& run, std::size_t kind) {
  const Model layer = layer_model(run.model, kind);
  const MixerCache* const row = mixer_cache(layer);
  if (row == nullptr || !is_cached(run.model, kind)) {
    return {};
  }
  const std::int64_t context = run.generation->context_length;
  const std::int64_t window = layer.sliding_window;
  return {row->numbers(layer), window > 0 ? std::min(context, window) : context, row->is_split};
}

template <class Tokens>
Bytes on_stage(const Run& run, std::int64_t stage, Tokens tokens) {
  const StageShape shape = stage_shape(run, stage);
  double numbers = 0;
  for (std::size_t kind = 0; kind < shape.kinds.size(); ++kind) {
    const LayerCache cache = layer_cache(run, kind);
    const double ranks = cache.is_split ? static_cast<double>(run.parallel.tensor) : 1.0;
    numbers +=
        static_cast<double>(shape.num_layers_of(kind)) * cache.numbers * tokens(cache) / ranks;
  }
  return Bytes(numbers * run.generation->kv_bytes);
}

}  // namespace

Generation read_generation(config::Reader reader) {
  Generation generation;
  generation.batch = reader.count("batch", 1, config::Range{1, 100'000'000});
  generation.context_length = reader.count("context_length", config::Range{1, 100'000'000});
  const WeightFormat cache =
      read_format(reader, "kv_dtype", std::vector<WeightFormat>(kCaches.begin(), kCaches.end()));
  const WeightFormat weights = read_format(reader, "weight_dtype", weight_words());
  generation.kv_dtype = cache.name;
  generation.kv_bytes = cache.bytes;
  generation.weight_dtype = weights.name;
  generation.weight_bytes = weights.bytes;
  generation.context_position = reader.position_of("context_length");
  reader.finish(kAliases);
  return generation;
}

void check_generation(const Run& run, config::Diagnostics& diagnostics) {
  if (!run.generation) {
    return;
  }
  for (std::size_t kind = 0; kind < num_layer_kinds(run.model); ++kind) {
    const Model layer = layer_model(run.model, kind);
    if (is_cached(run.model, kind) && mixer_cache(layer) == nullptr) {
      diagnostics.add(run.generation->context_position, "generation.context_length",
                      "what a layer with mixer '" + layer.mixer.name +
                          "' keeps of a sequence while it generates is not modelled");
    }
  }
  if (run.model.position == PositionKind::learned &&
      run.generation->context_length > run.model.max_positions) {
    diagnostics.add(run.generation->context_position, "generation.context_length",
                    "context_length " + std::to_string(run.generation->context_length) +
                        " is more than the " + std::to_string(run.model.max_positions) +
                        " learned positions of the model");
  }
}

std::int64_t held_tokens(const Run& run) {
  std::int64_t most = 0;
  for (std::size_t kind = 0; kind < num_layer_kinds(run.model); ++kind) {
    most = std::max(most, layer_cache(run, kind).held);
  }
  return most;
}

Bytes cache_per_token(const Run& run) {
  double numbers = 0;
  for (std::size_t kind = 0; kind < num_layer_kinds(run.model); ++kind) {
    numbers +=
        static_cast<double>(layers_of_kind(run.model, kind)) * layer_cache(run, kind).numbers;
  }
  return Bytes(numbers * run.generation->kv_bytes);
}

Bytes cache_per_token(const Run& run, std::int64_t stage) {
  return on_stage(run, stage, [](const LayerCache&) { return 1.0; });
}

Bytes cache_of_sequence(const Run& run, std::int64_t stage) {
  return on_stage(run, stage,
                  [](const LayerCache& cache) { return static_cast<double>(cache.held); });
}

Bytes generation_weights(const Run& run, std::int64_t stage) {
  Run plain = run;  // all of it trained, so that all of it is in the list
  plain.training.tuning = {};
  double bytes = 0;
  for (const ParameterTensor& tensor : trained_tensors(plain, stage_shape(plain, stage))) {
    bytes +=
        tensor.elements() * (tensor.kind == TensorKind::matrix ? run.generation->weight_bytes : 2);
  }
  return Bytes(std::ceil(bytes));
}

}  // namespace foretrain
