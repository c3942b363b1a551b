// Memory of generating text with a run's model and its tensor and pipeline parallelism: weights,
// and the cache of keys and values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "sim/config/reader.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

struct Run;

/// [generation] of a run file. Nothing of it enters the training step.
struct Generation {
  std::int64_t batch = 1;           ///< sequences at a time, of one replica
  std::int64_t context_length = 0;  ///< tokens of each: prompt and answer
  std::string kv_dtype = "bf16";
  std::string weight_dtype = "bf16";
  double kv_bytes = 2;      ///< of one number in the cache
  double weight_bytes = 2;  ///< of one weight of the layers, with its share of scales

  config::Position context_position;
};

[[nodiscard]] Generation read_generation(config::Reader reader);
void check_generation(const Run& run, config::Diagnostics& diagnostics);

/// Tokens of a sequence that some layer holds keys and values of: a layer with a sliding window
/// forgets those before it.
[[nodiscard]] std::int64_t held_tokens(const Run& run);
/// Keys and values of one token in all layers of the model: 2 L q d numbers; of latent attention
/// the latent and the rotated key that the heads share (DeepSeek-V2, section 2.1).
[[nodiscard]] Bytes cache_per_token(const Run& run);
/// The same on one GPU of a stage; heads are split over tensor parallelism, a latent is repeated.
[[nodiscard]] Bytes cache_per_token(const Run& run, std::int64_t stage);
/// What one sequence of the context's length holds there.
[[nodiscard]] Bytes cache_of_sequence(const Run& run, std::int64_t stage);
/// Weights on one GPU of a stage: those of linear layers in weight_dtype; embedding, head and norms
/// in 16 bit, as quantised checkpoints keep them.
[[nodiscard]] Bytes generation_weights(const Run& run, std::int64_t stage);

}  // namespace foretrain
