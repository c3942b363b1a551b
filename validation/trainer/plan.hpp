// What the trainer makes of a run file: the same keys that a prediction is made from, and a refusal
// of all that it cannot do for real.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "strategies/plan.hpp"
#include "validation/trainer/tensor.hpp"

namespace foretrain::trainer {

/// Where a rank stands: rank = tensor + T (data + D pipeline), the simulator's default order.
struct Place {
  int tensor = 0;
  int data = 0;
  int pipeline = 0;
};

struct Plan {
  Model model;
  Stack stack;
  Training training;
  Parallel parallel;
  Sharding sharding;
  Compression compression;
  int ranks = 1;

  [[nodiscard]] int tensor() const { return static_cast<int>(parallel.tensor); }
  [[nodiscard]] int pipeline() const { return static_cast<int>(parallel.pipeline); }
  [[nodiscard]] int data() const { return ranks / (tensor() * pipeline()); }
  [[nodiscard]] int zero() const { return static_cast<int>(parallel.zero); }
  /// Of one replica in a step.
  [[nodiscard]] std::int64_t micro_batches() const {
    return training.global_batch / (training.micro_batch * data());
  }
  /// Tokens of one micro-batch.
  [[nodiscard]] std::int64_t tokens() const {
    return training.micro_batch * training.sequence_length;
  }
  [[nodiscard]] std::int64_t layers_per_stage() const { return model.layers / pipeline(); }
  [[nodiscard]] Place place_of(int rank) const {
    return {rank % tensor(), rank / tensor() % data(), rank / (tensor() * data())};
  }
  [[nodiscard]] int rank_at(const Place& place) const {
    return place.tensor + tensor() * (place.data + data() * place.pipeline);
  }
  /// This rank's stage, in order.
  [[nodiscard]] std::vector<Slot> slots(int stage) const;
};

/// A run file as a plan for so many ranks. `sets` are assignments such as "parallel.tensor=2"; the
/// platform that the file names is not looked up. Throws ConfigError for mistakes, and for what the
/// trainer cannot do: models other than GPTs with learned positions, LayerNorm, a plain GELU MLP,
/// biases and an untied head; other precisions than `type`'s; recomputation of parts of layers;
/// schedules other than GPipe and 1F1B; ZeRO-2 and -3 in pipelines; compressors that it lacks.
[[nodiscard]] Plan read_plan(config::Sources& sources, const std::string& path,
                             const std::vector<std::string>& sets, const Catalogue& catalogue,
                             int ranks, Type type);

}  // namespace foretrain::trainer
