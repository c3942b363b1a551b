// The best layout of a run on a number of GPUs, by a search through those that most software runs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/study/plan/plan.hpp"
#include "sim/study/search/space.hpp"

namespace foretrain {

/// A run whose layout and size are open.
struct OpenRun {
  RunFile file;
  Run run;
  std::vector<std::string> sets;  ///< keys that make the run file such a run
  std::string words;              ///< of these keys, behind the layout's
};

/// Simulates the run file with these keys set.
using PredictSets = std::function<PlanPoint(const std::vector<std::string>& sets)>;

struct FindOptions {
  PredictSets predict;                               ///< has the last word
  std::size_t jobs = 1;                              ///< worker processes
  std::optional<Seconds> too_slow;                   ///< a step of no interest
  std::function<void(const std::string&)> progress;  ///< told now and then what is going on
};

/// Schedules 1F1B and interleaved, ZeRO-1 and -3 or none, micro-batches of 1 to 8 sequences,
/// nothing offloaded, context parallelism for long sequences only.
[[nodiscard]] FixedChoices usual_choices(const Run& run);

/// The fastest of the `choices` that fits, proved by the search; a refusal where none does.
[[nodiscard]] PlanPoint fastest_layout(const OpenRun& open, std::int64_t gpus,
                                       const FixedChoices& choices, const FindOptions& options);
/// A layout of little memory that fits, with two sequences a GPU whatever the run's batch; a
/// refusal where none does.
[[nodiscard]] PlanPoint small_layout(const OpenRun& open, std::int64_t gpus,
                                     const FindOptions& options);

}  // namespace foretrain
