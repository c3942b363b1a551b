// SPDX-License-Identifier: Apache-2.0
#include "validation/live/settings.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/config/value.hpp"
#include "sim/core/error.hpp"

namespace foretrain::live {
namespace {

// 6 FLOPs per parameter and token: 20 and 33 GFLOP per rank, a few tenths of a second on a core.
constexpr std::int64_t kSequence = 128;
constexpr std::int64_t kVocabulary = 256;  // bytes

// What a step of DDP is to the trainer as well as to the simulator.
std::string plain_run(const LiveModel& model, const std::string& cluster, std::int64_t ranks) {
  const std::int64_t sequences = model.sequences / 2 * ranks;
  return fmt::format(R"(platform = "{}"
nodes = {}
stack = "stack.toml"

[model]
name = "{}"
source = "GPT of foretrain validate --live"
layers = {}
hidden = {}
heads = {}
head_dim = {}
vocabulary = {}
ffn = {}
mlp = "plain"
norm = "layer_norm"
position = "learned"
max_positions = {}
bias = true
tied_embeddings = false

[training]
sequence_length = {}
global_batch = {}
micro_batch = {}
precision = "fp32"
optimizer = "adamw"
)",
                     cluster, ranks, model.name, model.layers, model.hidden,
                     model.hidden / kHeadDim, kHeadDim, kVocabulary, 4 * model.hidden, kSequence,
                     kSequence, sequences, model.sequences / 2);
}

std::string with_sets(const std::string& text, const std::vector<std::string>& sets) {
  config::Sources sources;
  config::Value tree = config::parse_toml(sources, "run.toml", text);
  for (const std::string& set : sets) {
    config::apply_set(sources, tree, set);
  }
  return config::to_toml(tree);
}

std::string megabytes_per_second(BytesPerSecond rate) {
  return fmt::format("{:.4g} MB/s", rate.value / 1e6);
}

std::vector<std::string> codec_sets(std::string_view method, const std::vector<CodecRate>& codecs) {
  const auto found = std::find_if(codecs.begin(), codecs.end(),
                                  [&](const CodecRate& codec) { return codec.method == method; });
  if (method.empty() || found == codecs.end()) {
    return {};
  }
  return {
      fmt::format("compression.gradients.encode_rate=\"{}\"", megabytes_per_second(found->encode)),
      fmt::format("compression.gradients.decode_rate=\"{}\"", megabytes_per_second(found->decode))};
}

}  // namespace

const std::vector<LiveModel>& live_models() {
  static const std::vector<LiveModel> kModels = {{"small", 4, 256, 16, 2}, {"large", 6, 384, 8, 1}};
  return kModels;
}

const std::vector<LiveStrategy>& live_strategies() {
  static const std::vector<LiveStrategy> kStrategies = {
      {"ddp", "", {}},
      {"zero-1", "", {"parallel.zero=1"}},
      {"zero-2", "", {"parallel.zero=2"}},
      {"zero-3", "", {"parallel.zero=3"}},
      {"tensor", "", {"parallel.tensor=2"}},
      {"pipeline", "", {"parallel.pipeline=2", "parallel.schedule=\"1f1b\""}},
      {"ddp-fp16",
       "cast",
       {"compression.gradients.method=\"cast\"", "compression.gradients.to=\"fp16\""}},
      {"ddp-int8", "block-int8", {"compression.gradients.method=\"block-int8\""}},
      {"ddp-top-k", "top-k", {"compression.gradients.method=\"top-k\""}},
  };
  return kStrategies;
}

const LiveStrategy& live_strategy(std::string_view name) {
  for (const LiveStrategy& strategy : live_strategies()) {
    if (strategy.name == name) {
      return strategy;
    }
  }
  throw InternalError(fmt::format("no strategy '{}' to validate live", name));
}

std::string Setting::id() const {
  return fmt::format("{} {} {}{}", model->name, strategy->name, tc_rate(rate),
                     straggler == Straggler::half ? " straggler" : "");
}

std::string tc_rate(BytesPerSecond rate) {
  if (rate == kLoopback) {
    return "loopback";
  }
  return fmt::format("{}Mbit", std::max<std::int64_t>(1, std::llround(rate.value * 8 / 1e6)));
}

std::string cluster_file(BytesPerSecond rate) { return "cluster-" + tc_rate(rate) + ".toml"; }

std::string run_file(const Setting& setting, const std::vector<CodecRate>& codecs) {
  std::vector<std::string> sets(setting.strategy->sets.begin(), setting.strategy->sets.end());
  const std::vector<std::string> of_codec = codec_sets(setting.strategy->method, codecs);
  sets.insert(sets.end(), of_codec.begin(), of_codec.end());
  const bool is_pipeline = setting.strategy->name == "pipeline";
  if (is_pipeline) {
    sets.push_back(fmt::format("training.micro_batch={}", setting.model->pipeline_sequences));
  }
  return with_sets(plain_run(*setting.model, cluster_file(setting.rate), 2), sets);
}

std::string lone_run_file(const LiveModel& model, BytesPerSecond rate) {
  return plain_run(model, cluster_file(rate), 1);
}

std::vector<const LiveModel*> models_of(const Selection& selection) {
  std::vector<const LiveModel*> models;
  for (const LiveModel& model : live_models()) {
    if (!selection.is_short || models.empty()) {
      models.push_back(&model);
    }
  }
  return models;
}

std::vector<Setting> settings_of(const Selection& selection) {
  const auto is_short_one = [](std::string_view name) {
    return name == "ddp" || name == "zero-3" || name == "tensor" || name == "pipeline" ||
           name == "ddp-int8";
  };
  std::vector<Setting> settings;
  for (const LiveModel* model : models_of(selection)) {
    for (const LiveStrategy& strategy : live_strategies()) {
      for (const BytesPerSecond rate : selection.rates) {
        if (!selection.is_short || is_short_one(strategy.name)) {
          settings.push_back({model, &strategy, rate, Straggler::none});
        }
      }
    }
  }
  for (const LiveModel* model : models_of(selection)) {
    settings.push_back({model, &live_strategy("ddp"),
                        selection.rates.at(selection.rates.size() / 2), Straggler::half});
  }
  return settings;
}

}  // namespace foretrain::live
