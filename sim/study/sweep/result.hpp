// What a journal keeps of a prediction, and how a journal is told: text, JSON, CSV.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/report/prediction.hpp"
#include "sim/study/sweep/journal.hpp"

namespace foretrain::sweep {

/// A JSON object on one line, numbers in SI base units, without anything that differs from run to
/// run: gpus, step_time_s, tokens_per_s, tokens_per_s_per_gpu, mfu, hfu, model_tflops_per_gpu,
/// peak_memory_bytes and memory_capacity_bytes (of the stage that holds most), fits,
/// training_time_s where the run says tokens, breakdown_s (adds up to the step).
[[nodiscard]] std::string result_json(const Prediction& prediction);

/// What makes one point better than another.
enum class Measure : std::uint8_t { step_time, tokens_per_s, tokens_per_s_per_gpu, mfu };

/// Which points are told: all in the order of the sweep or, of those that fit, the best first.
struct Selection {
  std::optional<std::uint64_t> best;  ///< how many
  Measure by = Measure::step_time;
};

[[nodiscard]] std::string sweep_text(const Journal& journal, const Selection& selection);
[[nodiscard]] std::string sweep_json(const Journal& journal, const Selection& selection);
/// The varied keys, status, the results with units in their names, and the reason of a refusal.
[[nodiscard]] std::string sweep_csv(const Journal& journal, const Selection& selection);

}  // namespace foretrain::sweep
