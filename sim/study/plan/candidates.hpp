// Layouts that a plan simulates, in worker processes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/study/plan/plan.hpp"

namespace foretrain {

struct PlanCandidate {
  PlanLayout layout;
  std::vector<std::string> more_sets;  ///< keys besides the layout's
  std::string more_text;               ///< of these, behind the layout's
};

/// The fastest guesses that may fit.
[[nodiscard]] std::vector<PlanCandidate> most_promising(
    const Run& run, std::int64_t gpus, std::size_t count,
    const std::vector<std::string>& more_sets = {});
/// Those that need least memory: where the guesses were too bold, or memory is all that is asked.
[[nodiscard]] std::vector<PlanCandidate> smallest_guesses(const Run& run, std::int64_t gpus,
                                                          std::size_t count, BatchRule rule);

/// What each comes to, in order.
[[nodiscard]] std::vector<PlanPoint> simulate_each(const std::vector<PlanCandidate>& candidates,
                                                   std::size_t jobs, const PredictSets& predict);
/// The fastest that fits; nothing where none does.
[[nodiscard]] std::optional<PlanPoint> best_of(const std::vector<PlanCandidate>& candidates,
                                               std::size_t jobs, const PredictSets& predict);

}  // namespace foretrain
