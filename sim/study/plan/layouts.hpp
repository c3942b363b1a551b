// Layouts worth simulating: a quick list from kernel times and sizes of states, without the proof
// of a search. `foretrain search` looks through all of them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "strategies/plan.hpp"

namespace foretrain {

/// What a plan chooses; everything else of the run stays as it is.
struct PlanLayout {
  std::int64_t gpus = 1;
  std::int64_t tensor = 1;
  std::int64_t pipeline = 1;
  std::int64_t virtual_stages = 1;
  std::int64_t context = 1;
  std::int64_t expert = 1;
  std::int64_t micro_batch = 1;
  std::int64_t zero = 0;
  Recompute recompute = Recompute::none;

  [[nodiscard]] std::int64_t data() const { return gpus / (tensor * pipeline * context); }
  /// The keys that ask for it.
  [[nodiscard]] std::vector<std::string> sets() const;
  /// "t8 p4x5 d16 mb1 zero1 full".
  [[nodiscard]] std::string text() const;
};

struct GuessedLayout {
  PlanLayout layout;
  Seconds step;  ///< a guess: kernels, tensor parallelism, bubble, what of data parallelism shows
  Bytes peak;    ///< a guess of the fullest GPU
};

enum class BatchRule : std::uint8_t {
  given,  ///< micro-batch x replicas divides the run's global batch
  open    ///< any number of sequences: only the memory is asked for
};

/// All layouts on so many GPUs that divide what has to be divided, the fastest guess first.
[[nodiscard]] std::vector<GuessedLayout> guess_layouts(const Run& run, std::int64_t gpus,
                                                       BatchRule rule);

/// Kernels of one micro-batch in one layer, forward and backward, in the run's layout on this GPU:
/// the mean over the layers.
[[nodiscard]] Seconds layer_time(const Run& run, const Gpu& gpu);

/// Least memory of a GPU of the run's cluster.
[[nodiscard]] Bytes memory_of_gpu(const Cluster& cluster);

}  // namespace foretrain
