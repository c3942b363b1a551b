// Small valid runs drawn at random, from a seed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <string>

#include "strategies/plan.hpp"

namespace foretrain::testing {

class RandomRuns {
 public:
  explicit RandomRuns(unsigned seed) : generator_(seed) {}
  /// At most 16 GPUs; every model family, layout, way to shard, schedule, recomputation and
  /// overlap.
  [[nodiscard]] Run next();

 private:
  std::int64_t number(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(generator_);
  }
  bool coin() { return number(0, 1) == 1; }
  /// None, all, or a part.
  double share() { return static_cast<double>(number(0, 2)) * 0.5; }
  void draw_layout(Run& run);
  void draw_sharding(Run& run);
  void draw_model(Run& run);
  void draw_experts(Run& run);
  void draw_context_kind(Run& run);
  void draw_order(Run& run);
  void draw_stack(Stack& stack);
  void draw_network(Cluster& cluster);

  std::mt19937 generator_;
};

/// The same run with tokens that travel to every expert by themselves where its nodes hold
/// different numbers of them.
[[nodiscard]] Run with_possible_dispatch(Run run);

/// What tells one such run from another, for messages.
[[nodiscard]] std::string describe(const Run& run);

}  // namespace foretrain::testing
