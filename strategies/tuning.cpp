// SPDX-License-Identifier: Apache-2.0
#include "strategies/tuning.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "strategies/stage.hpp"

namespace foretrain {
namespace {

using config::Choice;

constexpr std::array<Choice<ModelPart>, 3> kParts = {{
    {"embedding", ModelPart::embedding},
    {"layers", ModelPart::layers},
    {"head", ModelPart::head},
}};

// int8 has one scale per row, which does not count (Dettmers et al. 2022, "LLM.int8()"). NF4 has
// blocks of 64 weights that share an 8-bit scale, and 256 of these an fp32 one: 0.127 bits
// (Dettmers et al. 2023, section 3).
constexpr std::array<WeightFormat, 2> kFormats = {{
    {"int8", 1},
    {"nf4", (4 + 8.0 / 64 + 32.0 / (64 * 256)) / 8},
}};

constexpr std::array<config::Alias, 4> kLoraAliases = {{
    {"r", "rank"},
    {"lora_rank", "rank"},
    {"target_modules", "targets"},
    {"modules", "targets"},
}};

std::vector<Choice<std::string_view>> target_words() {
  std::vector<Choice<std::string_view>> words;
  for (const AdaptedLinear& row : adapted_linears()) {
    const bool is_there = std::any_of(words.begin(), words.end(),
                                      [&](const auto& word) { return word.value == row.target; });
    if (!is_there) {
      words.push_back({row.target, row.target});
    }
  }
  return words;
}

void read_lora(config::Reader lora, Tuning& tuning) {
  tuning.lora_rank = lora.count("rank", config::Range{1, 65'536});
  const std::vector<Choice<std::string_view>> words = target_words();
  tuning.lora_targets = lora.choices<std::string_view>("targets", words);
  if (!lora.has("targets")) {
    tuning.lora_targets = {"qkv", "projection"};  // Hu et al. 2022, section 4.2: attention only
  }
  lora.finish(kLoraAliases);
}

class CheckTuning {
 public:
  CheckTuning(const Run& run, config::Diagnostics& diagnostics)
      : run_(run), tuning_(run.training.tuning), diagnostics_(diagnostics) {}

  void all() {
    frozen();
    if (tuning_.lora_rank > 0) {
      lora();
    }
    if (tuning_.weights) {
      weights();
    }
  }

 private:
  void fail(const config::Position& position, const std::string& key, const std::string& message) {
    diagnostics_.add(position, "training." + key, message);
  }

  void frozen() {
    if (tuning_.frozen.empty()) {
      return;
    }
    if (tuning_.lora_rank > 0) {
      fail(tuning_.frozen_position, "frozen",
           "lora freezes all but its adapters already; remove frozen");
    } else if (tuning_.frozen.size() == kParts.size()) {
      fail(tuning_.frozen_position, "frozen", "with all of these frozen nothing is trained");
    } else if (run_.model.tied_embeddings &&
               is_frozen(run_, ModelPart::embedding) != is_frozen(run_, ModelPart::head)) {
      fail(tuning_.frozen_position, "frozen",
           "model '" + run_.model.name +
               "' ties embedding and head: freeze both of them or neither");
    }
    if (!tuning_of(run_, ModelPart::layers).has_backward && !is_frozen(run_, ModelPart::head)) {
      head_alone();
    }
  }

  // Stages without any backward pass would have slots of a schedule with nothing in them.
  void head_alone() {
    if (run_.parallel.pipeline > 1) {
      fail(tuning_.frozen_position, "frozen",
           "with embedding and layers frozen no stage but the last has a backward pass, which "
           "pipeline " +
               std::to_string(run_.parallel.pipeline) + " does not model; use pipeline 1");
    }
    if (run_.training.recompute != Recompute::none) {
      fail(tuning_.frozen_position, "frozen",
           "with embedding and layers frozen nothing is kept for a backward pass, so recompute "
           "has no effect; remove it");
    }
  }

  void lora() {
    for (const std::string_view target : tuning_.lora_targets) {
      if (!has_linear(target)) {
        fail(tuning_.lora_position, "lora",
             "no linear layer of model '" + run_.model.name + "' is a target '" +
                 std::string(target) + "'");
      }
    }
  }

  // Whether a block of the model on one rank has a product that the target names.
  [[nodiscard]] bool has_linear(std::string_view target) const {
    Shard shard;
    shard.kernels = run_.stack.kernels;
    std::vector<Work> blocks = {head_work(run_.model, shard, false)};
    for (std::size_t kind = 0; kind < num_layer_kinds(run_.model); ++kind) {
      blocks.push_back(layer_work(run_.model, shard, kind));
    }
    for (const AdaptedLinear& row : adapted_linears()) {
      for (const Work& block : blocks) {
        const bool has = std::any_of(block.forward.begin(), block.forward.end(),
                                     [&](const Step& step) { return step.name == row.linear; });
        if (row.target == target && has) {
          return true;
        }
      }
    }
    return false;
  }

  void weights() {
    if (!is_frozen(run_, ModelPart::layers)) {
      fail(tuning_.weights_position, "weight_dtype",
           "weight_dtype " + std::string(tuning_.weights->name) +
               " is for frozen layers: freeze them, or train adapters with lora");
    }
    if (run_.parallel.zero == 3) {
      fail(tuning_.weights_position, "weight_dtype",
           "quantised weights with zero 3 are not modelled; use zero 0, 1 or 2");
    }
  }

  const Run& run_;
  const Tuning& tuning_;
  config::Diagnostics& diagnostics_;
};

}  // namespace

std::span<const WeightFormat> weight_formats() { return kFormats; }

Tuning read_tuning(config::Reader& training) {
  Tuning tuning;
  tuning.frozen = training.choices<ModelPart>("frozen", kParts);
  tuning.frozen_position = training.position_of("frozen");
  tuning.lora_position = training.position_of("lora");
  tuning.weights_position = training.position_of("weight_dtype");
  if (auto lora = training.maybe_child("lora")) {
    read_lora(std::move(*lora), tuning);
  }
  if (training.has("weight_dtype")) {
    std::array<Choice<const WeightFormat*>, kFormats.size()> words{};
    for (std::size_t i = 0; i < kFormats.size(); ++i) {
      words[i] = {kFormats[i].name, &kFormats[i]};
    }
    tuning.weights = *training.choice<const WeightFormat*>("weight_dtype", words);
  }
  return tuning;
}

void check_tuning(const Run& run, config::Diagnostics& diagnostics) {
  CheckTuning(run, diagnostics).all();
}

bool is_frozen(const Run& run, ModelPart part) {
  const Tuning& tuning = run.training.tuning;
  return tuning.lora_rank > 0 ||
         std::find(tuning.frozen.begin(), tuning.frozen.end(), part) != tuning.frozen.end();
}

// Adapters in the layers, or a trained embedding before them, need gradients that pass through.
BlockTuning tuning_of(const Run& run, ModelPart part) {
  const Tuning& tuning = run.training.tuning;
  BlockTuning block;
  block.is_frozen = is_frozen(run, part);
  block.adapter_rank = tuning.lora_rank;
  block.adapter_targets = tuning.lora_targets;
  const bool has_adapters = std::any_of(tuning.lora_targets.begin(), tuning.lora_targets.end(),
                                        [](std::string_view target) { return target != "head"; });
  switch (part) {
    case ModelPart::embedding:
      block.has_backward = !block.is_frozen;
      break;
    case ModelPart::layers:
      block.has_backward =
          !block.is_frozen || has_adapters || !is_frozen(run, ModelPart::embedding);
      block.quantised_bytes = tuning.weights ? tuning.weights->bytes : 0;
      break;
    case ModelPart::head:
      break;
  }
  return block;
}

}  // namespace foretrain
