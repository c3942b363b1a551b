// Fine-tuning as a run file asks for it: frozen parts, LoRA, quantised weights.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "models/blocks/tuning.hpp"
#include "sim/config/reader.hpp"

namespace foretrain {

struct Run;

enum class ModelPart : std::uint8_t { embedding, layers, head };

/// A type of weights that are only read. `bytes` is of one weight with its share of the scales.
struct WeightFormat {
  std::string_view name;
  double bytes = 2;
};

struct Tuning {
  std::vector<ModelPart> frozen;
  std::int64_t lora_rank = 0;  ///< 0: no adapters
  std::vector<std::string_view> lora_targets;
  std::optional<WeightFormat> weights;  ///< of frozen linear layers; nothing: as they are trained

  config::Position frozen_position;
  config::Position lora_position;
  config::Position weights_position;

  [[nodiscard]] bool is_none() const { return frozen.empty() && lora_rank == 0; }
};

/// "int8" and "nf4".
[[nodiscard]] std::span<const WeightFormat> weight_formats();

/// Reads training.frozen, training.lora and training.weight_dtype.
[[nodiscard]] Tuning read_tuning(config::Reader& training);
void check_tuning(const Run& run, config::Diagnostics& diagnostics);

[[nodiscard]] bool is_frozen(const Run& run, ModelPart part);
/// How a run trains a part of its model.
[[nodiscard]] BlockTuning tuning_of(const Run& run, ModelPart part);

}  // namespace foretrain
