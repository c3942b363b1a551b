// Runs that are small enough to be checked by hand: round link rates, a model of a few layers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "platforms/cluster.hpp"
#include "sim/config/reader.hpp"
#include "sim/engine/engine.hpp"
#include "strategies/plan.hpp"

namespace foretrain::testing {

/// What small_run() has of each.
inline constexpr std::int64_t kMicroBatches = 4;
inline constexpr std::int64_t kLayers = 8;

// Of one micro-batch of it: b = 2 sequences of s = 64 tokens, h = 64, a = 8 heads.
inline constexpr double kSbh = 64.0 * 2 * 64;
inline constexpr double kScores = 8.0 * 64 * 64 * 2;    ///< a s^2 b
inline constexpr Bytes kActivation(2.0 * 64 * 64 * 2);  ///< b s h elements of 2 bytes

/// A number of a platform or a stack that a test makes up.
template <class T>
[[nodiscard]] config::Sourced<T> assumed(T value) {
  return {value, "a test", config::Basis::assumed};
}

/// GPUs behind a switch at 100 GB/s each way and NICs of 10 GB/s. A collective inside a node waits
/// 10 us + 1 us per step; across nodes 20 us + 5 us per step that leaves a node; a message 4 or 8
/// us.
[[nodiscard]] Cluster small_cluster(std::int64_t gpus_per_node, std::int64_t nics_per_node);

/// Unfused attention without dropout; nothing overlaps; 1 MB buckets; the host takes 1 ms per step.
[[nodiscard]] Stack small_stack();

/// tensor x pipeline x data GPUs, four to a node where that divides; 4 micro-batches of 2 sequences
/// of 64 tokens; a GPT of 8 layers, hidden 64, 8 heads, vocabulary 300 (which is padded).
[[nodiscard]] Run small_run(std::int64_t tensor, std::int64_t pipeline, std::int64_t data);

/// Gives a run a schedule with the chunks that it wants, two where the run may choose, and a batch
/// that it takes: 2 p micro-batches.
void set_schedule(Run& run, const PipelineSchedule& schedule);

/// Parameters of a rank of the first stage.
[[nodiscard]] double parameters_of(const Run& run);

/// Lowers a run and plays it on its cluster.
struct Played {
  Program program;
  std::unique_ptr<Machine> machine;
  Timeline timeline;
};
[[nodiscard]] Played play_run(const Run& run);

}  // namespace foretrain::testing
