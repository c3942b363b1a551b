// SPDX-License-Identifier: Apache-2.0
#include "models/read_blocks.hpp"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "models/aliases.hpp"
#include "models/blocks/catalog.hpp"
#include "models/check_shape.hpp"

namespace foretrain {
namespace {

using config::Choice;
using config::Reader;

constexpr config::Range kImages{1, 100'000};
constexpr config::Range kPixels{1, 100'000};

enum class TowerPosition : std::uint8_t { learned, rotary };
constexpr std::array kTowerPositions{Choice<TowerPosition>{"learned", TowerPosition::learned},
                                     Choice<TowerPosition>{"rotary", TowerPosition::rotary}};

// Experts have a table of their own, where the model says which layers have them.
std::vector<Choice<const BlockKind*>> choices_of(BlockRole role) {
  std::vector<Choice<const BlockKind*>> choices;
  for (const BlockKind& kind : block_kinds()) {
    if (kind.role == role && kind.name != "mixture_of_experts") {
      choices.push_back({kind.name, &kind});
    }
  }
  return choices;
}

void read_block(Reader& reader, std::string_view key, BlockRole role, const Model& model,
                BlockChoice& choice) {
  auto table = reader.maybe_child(key);
  if (!table) {
    return;
  }
  const std::size_t before = reader.diagnostics().size();
  const auto choices = choices_of(role);
  const BlockKind* kind = table->choice<const BlockKind*>("kind", choices);
  if (reader.diagnostics().size() != before) {
    for (const std::string& name : table->keys()) {
      table->ignore(name);  // without its kind no other key has a meaning
    }
    return;
  }
  choice.name = std::string(kind->name);
  choice.sizes.clear();
  const blocks::BlockFunctions functions = kind->functions();
  for (const SizeKey& size : functions.sizes) {
    choice.sizes.push_back(size.fallback ? table->count(size.key, *size.fallback, size.range)
                                         : table->count(size.key, size.range));
  }
  table->finish(kBlockAliases);
  if (functions.check != nullptr && reader.diagnostics().size() == before) {
    Model checked = model;
    checked.mixer = choice;
    functions.check(*table, checked);
  }
}

}  // namespace

void read_blocks(Reader& reader, Model& model) {
  read_block(reader, "mixer", BlockRole::mixer, model, model.mixer);
  read_block(reader, "feed_forward", BlockRole::feed_forward, model, model.feed_forward);
}

void check_block_keys(Reader& reader, const Model& model) {
  const auto refuse = [&](std::string_view key, bool is_used, const std::string& block) {
    if (is_used && reader.has(key)) {
      reader.fail(key, "has no effect on block '" + block + "'; remove it");
    }
  };
  const std::string& mixer = model.mixer.name;
  if (mixer != Model{}.mixer.name) {
    refuse("sliding_window", model.sliding_window > 0, mixer);
  }
  if (mixer != Model{}.mixer.name && model.pattern.full_attention_every == 0) {
    refuse("qk_norm", model.qk_norm, mixer);
    refuse("qkv_bias", model.qkv_bias, mixer);
    refuse("attention_output_bias", model.attention_output_bias, mixer);
    refuse("bias", model.qkv_bias || model.attention_output_bias, mixer);
    refuse("kv_heads", model.kv_heads != model.heads, mixer);
    if (mixer_of(model).functions().has_state) {
      refuse("position", model.position == PositionKind::rotary, mixer);
    }
  }
  const std::string& other = model.feed_forward.name;
  if (other != Model{}.feed_forward.name) {
    refuse("mlp_bias", model.mlp_bias, other);
    refuse("bias", model.mlp_bias, other);
  }
}

void read_expert_layers(Reader& table, Model& model) {
  model.pattern.dense_layers = table.count("dense_layers", 0, {0, kLayers.most});
  model.pattern.experts_every = table.count("every", 1, kLayers);
}

void read_attention_layers(Reader& reader, Model& model) {
  model.sliding_window = reader.count("sliding_window", 0, kPositions);
  const auto every = reader.maybe_count("full_attention_every", kLayers);
  if (!every) {
    return;
  }
  if (model.sliding_window == 0 && model.mixer.name == "attention") {
    reader.fail("full_attention_every",
                "has no effect when all layers see the whole sequence; give sliding_window or a "
                "mixer for the others, or remove it");
  } else {
    model.pattern.full_attention_every = *every;
  }
}

void read_vision(Reader& reader, Model& model) {
  auto table = reader.maybe_child("vision");
  if (!table) {
    return;
  }
  const std::size_t before = reader.diagnostics().size();
  VisionTower tower;
  tower.layers = table->count("layers", kLayers);
  tower.hidden = table->count("hidden", kHidden);
  tower.heads = table->count("heads", kHeads);
  tower.ffn = table->count("ffn", 4 * tower.hidden, kFfn);
  const std::int64_t image = table->count("image", kPixels);
  const std::int64_t patch = table->count("patch", kPixels);
  const std::int64_t frames = table->count("frames", 1, {1, 100});
  tower.images = table->count("images", 1, kImages);
  tower.merged_patches = table->count("merged_patches", 1, {1, 10'000});
  tower.projector_hidden = table->count("projector_hidden", kHidden);
  const auto position = table->choice<TowerPosition>("position", kTowerPositions);
  tower.class_token = table->get<bool>("class_token", false);
  tower.patch_norm = table->get<bool>("patch_norm", false);
  table->finish(kVisionAliases);
  if (reader.diagnostics().size() != before) {
    return;
  }
  if (tower.hidden % tower.heads != 0) {
    table->fail("heads", fmt::format("hidden = {} is not a multiple of heads = {}", tower.hidden,
                                     tower.heads));
  }
  if (image % patch != 0) {
    table->fail("image",
                fmt::format("image = {} pixels are not a multiple of patch = {}", image, patch));
  }
  tower.patches = (image / patch) * (image / patch);
  if (tower.patches % tower.merged_patches != 0) {
    table->fail("merged_patches",
                fmt::format("merged_patches = {} does not divide the {} patches of an image",
                            tower.merged_patches, tower.patches));
  }
  if (model.tied_embeddings) {
    reader.fail("tied_embeddings",
                "with a vision tower the token embedding is not where the pipeline begins; a head "
                "tied to it is not modelled");
  }
  tower.patch_elements = 3 * patch * patch * frames;
  tower.positions = position == TowerPosition::learned ? tower.tokens() : 0;
  model.layers += tower.layers;
  model.vision = tower;
}

}  // namespace foretrain
