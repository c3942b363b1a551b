// How a run behaves over a range of sizes: step time, rate per GPU, efficiency, what limits it, and
// where adding nodes stops paying.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/report/prediction.hpp"
#include "sim/study/workers.hpp"

namespace foretrain {

enum class Scaling : std::uint8_t {
  strong,  ///< the global batch stays
  weak     ///< the global batch grows with the nodes
};

/// One size. Either a prediction or the reason why there is none.
struct ScalePoint {
  std::int64_t nodes = 0;
  std::int64_t gpus = 0;
  Seconds step_time;
  double tokens_per_second = 0;
  bool fits = true;
  double memory_use = 0;  ///< of the fullest GPU's memory, at the peak; more than 1 does not fit
  std::vector<std::pair<std::string, double>> shares;  ///< of the step, by cause; they add up to 1
  std::string refusal;

  [[nodiscard]] bool is_valid() const { return refusal.empty(); }
  [[nodiscard]] double tokens_per_second_per_gpu() const {
    return tokens_per_second / static_cast<double>(gpus);
  }
};

/// What of a prediction makes a point; `nodes` is the caller's to fill in.
[[nodiscard]] ScalePoint scale_point(const Prediction& prediction);

struct ScaleRow {
  ScalePoint point;
  double efficiency = 0;  ///< tokens/s per GPU relative to the smallest size that ran
  std::string limit;      ///< the cause whose share of the step has grown most since then
  bool is_knee = false;   ///< the first size below the threshold
};

/// Adds efficiency, limits and the knee. `threshold` is an efficiency in (0, 1].
[[nodiscard]] std::vector<ScaleRow> judge(const std::vector<ScalePoint>& points, double threshold);

/// Predicts each size in a worker process; `predict` gets the number of nodes.
[[nodiscard]] std::vector<ScalePoint> scale(const std::vector<std::int64_t>& nodes,
                                            std::size_t jobs,
                                            const std::function<ScalePoint(std::int64_t)>& predict,
                                            const WorkersProgress& progress = {});

/// Predicts `count` runs in worker processes; one that dies is refused as that.
[[nodiscard]] std::vector<ScalePoint> predict_in_workers(
    std::size_t count, std::size_t jobs, const std::function<ScalePoint(std::size_t)>& predict,
    const WorkersProgress& progress = {});

/// Node counts from "1,2,4", "2..16" (doubling), or both joined by commas. Throws ConfigError.
[[nodiscard]] std::vector<std::int64_t> parse_nodes(const std::string& text);

[[nodiscard]] std::string scale_text(const std::vector<ScaleRow>& rows, double threshold);
struct Elasticities;
/// With what to buy next, if it was asked for.
[[nodiscard]] std::string scale_json(const std::vector<ScaleRow>& rows, double threshold,
                                     const Elasticities* next = nullptr);
[[nodiscard]] std::string scale_csv(const std::vector<ScaleRow>& rows);
/// What to buy next: the run as it is, then a row for each change of its hardware.
[[nodiscard]] std::string elasticities_csv(const Elasticities& next);

}  // namespace foretrain
