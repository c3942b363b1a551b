// From a model, a number of tokens and a platform to a decision: how few GPUs hold the model, what
// each size takes in time, money and energy, where it stops paying, and what to buy.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/report/prediction.hpp"
#include "sim/study/economics.hpp"
#include "sim/study/goodput/reliability.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// One size in one layout: a prediction, or the reason why there is none.
struct PlanPoint {
  std::int64_t gpus = 0;
  std::string layout;             ///< in short
  std::vector<std::string> sets;  ///< the keys that ask for it
  Seconds step_time;
  Seconds low;   ///< where the real step will be, by the errors of such predictions; the step time
  Seconds high;  ///< itself where none are known
  double utilization = 0;  ///< MFU
  double memory_use = 0;   ///< of the fullest GPU's memory
  bool fits = false;
  double idle_share = 0;  ///< of the step: pipeline bubble and host
  std::string limit;      ///< what takes most of the step besides compute
  double limit_share = 0;
  std::string refusal;

  [[nodiscard]] bool is_good() const { return refusal.empty() && fits; }
};

/// What of a prediction makes a point; size and layout are the caller's to fill in.
[[nodiscard]] PlanPoint plan_point(const Prediction& prediction);

struct PlanOptions {
  double tokens = 0;        ///< of the whole training
  std::string tokens_note;  ///< where that number is from
  std::optional<Seconds> deadline;
  std::optional<double> budget;  ///< US dollars
  Economics economics;
  double threshold = 0.85;  ///< efficiency below which a size is past the knee
  std::int64_t most_gpus = 65'536;
  std::vector<std::int64_t> sizes;  ///< GPUs; none: doubling, as plan() says
};

/// One size of the table, in its best layout: at one price per GPU and hour the fastest is the
/// cheapest.
struct PlanRow {
  PlanPoint point;
  Seconds time;  ///< of the whole training, without failures
  Seconds low;
  Seconds high;
  Bill bill;
  double efficiency = 0;  ///< tokens/s per GPU against the best of this and smaller sizes
  bool is_knee = false;
};

/// A training whose parts fail now and then.
struct WithFailures {
  std::string rates;     ///< the data file that says how often
  double effective = 0;  ///< useful work over wall time, in the mean
  Seconds time;
  std::optional<double> dollars;  ///< of the GPUs in use; spares apart
};

/// Tokens per parameter that spend a given compute best (Hoffmann et al. 2022, "Chinchilla": about
/// 20).
inline constexpr double kChinchilla = 20;

struct Plan {
  double six_pd = 0;       ///< 6 x parameters that a token visits x tokens
  double exact_flops = 0;  ///< model FLOPs as simulate counts them: attention and logits included
  std::optional<PlanPoint> smallest;  ///< the fewest GPUs that hold one instance
  std::vector<PlanRow> rows;
  std::optional<std::size_t> knee;  ///< rows by index
  std::optional<std::size_t> cheapest;
  std::optional<std::size_t> fastest;
  std::optional<std::size_t> choice;          ///< what to buy
  std::string why;                            ///< of the choice, or why there is none
  std::optional<WithFailures> with_failures;  ///< the choice, where somebody asked
};

/// What a plan asks at a size: a point that is good, or says why there is none.
struct LayoutFinders {
  std::function<PlanPoint(std::int64_t gpus)> fastest;
  std::function<PlanPoint(std::int64_t gpus)> small;  ///< any that fits, with any batch
};

/// Plans. `run` says everything but the layout. Sizes double until the knee and the deadline or the
/// budget are covered, the model cannot be spread further, or more GPUs take longer.
[[nodiscard]] Plan plan(const Run& run, const PlanOptions& options, const LayoutFinders& find);

/// A row's training by Monte Carlo, as goodput() does it, waiting for spares where nodes fail.
[[nodiscard]] WithFailures with_failures(const Run& run, const PlanRow& row,
                                         const PlanOptions& options,
                                         goodput::Reliability reliability);

[[nodiscard]] std::string plan_text(const Plan& plan, const Run& run, const PlanOptions& options);
struct NodeChoice;
/// With which nodes to use, where they are unlike.
[[nodiscard]] std::string plan_json(const Plan& plan, const Run& run, const PlanOptions& options,
                                    const std::vector<NodeChoice>& nodes);
[[nodiscard]] std::string plan_csv(const Plan& plan);

}  // namespace foretrain
