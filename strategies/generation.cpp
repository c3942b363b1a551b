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
  if (run.generation && run.model.position == PositionKind::learned &&
      run.generation->context_length > run.model.max_positions) {
    diagnostics.add(run.generation->context_position, "generation.context_length",
                    "context_length " + std::to_string(run.generation->context_length) +
                        " is more than the " + std::to_string(run.model.max_positions) +
                        " learned positions of the model");
  }
}

std::int64_t held_tokens(const Run& run) {
  const std::int64_t context = run.generation->context_length;
  return run.model.sliding_window > 0 ? std::min(context, run.model.sliding_window) : context;
}

Bytes cache_per_token(const Run& run) {
  return Bytes(2.0 * static_cast<double>(run.model.layers) *
               static_cast<double>(run.model.kv_heads) * static_cast<double>(run.model.head_dim) *
               run.generation->kv_bytes);
}

Bytes cache_per_token(const Run& run, std::int64_t stage) {
  const double share = static_cast<double>(stage_shape(run, stage).num_layers()) /
                       static_cast<double>(run.model.layers * run.parallel.tensor);
  return share * cache_per_token(run);
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
