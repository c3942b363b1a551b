// What a long run of a job comes to: the time that trains, where the rest goes, days and money.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sim/study/goodput/checkpoint.hpp"
#include "sim/study/goodput/estimate.hpp"
#include "sim/study/goodput/reliability.hpp"

namespace foretrain::goodput {

/// A job at one size, and how long its step takes there.
struct Size {
  std::int64_t nodes = 1;
  std::int64_t gpus = 1;
  std::int64_t nics_per_node = 1;
  Seconds step_time;
  double tokens_per_step = 0;
  Bytes checkpoint;
  std::int64_t shrink_unit = 1;      ///< nodes that hold whole replicas
  std::vector<double> shrunk_rates;  ///< tokens per time with 1, 2, ... units dropped, over those
                                     ///< at full size
};

/// Nodes of the smallest number that holds whole replicas of this many GPUs.
[[nodiscard]] std::int64_t shrink_unit(std::int64_t gpus_per_replica, std::int64_t gpus_per_node);

/// The job as numbers, with the interval that the rule asks for, but `search`, which takes Daly's.
/// `tokens` end it where the reliability has no duration; they are then needed.
[[nodiscard]] Job job_of(const Reliability& reliability, const Size& size,
                         std::optional<double> tokens);

struct MonteCarlo {
  std::size_t runs = 200;
  std::uint64_t seed = 1;
};

/// Closed forms for the same numbers, without waiting for nodes, shrinking, stragglers,
/// maintenance.
struct ClosedForms {
  Seconds recovery;  ///< detection, swapping a node, restart
  Seconds young;     ///< interval
  Seconds daly;      ///< interval
  double exact = 0;  ///< daly_efficiency at the job's interval
  double kokolis = 0;
};

struct Outcome {
  Size size;
  Job job;
  IntervalRule rule = IntervalRule::daly;
  MonteCarlo monte_carlo;
  Seconds between_failures;
  std::optional<ClosedForms> closed;  ///< where parts fail and checkpoints are written
  std::optional<Seconds> interval;    ///< of work between checkpoints; nothing: none are written

  Estimate effective;                     ///< useful work over wall time
  std::array<Estimate, kNumLosses> lost;  ///< shares of the wall time
  Estimate failures;                      ///< interruptions by failures
  std::array<double, kNumPartKinds> failures_by_kind{};
  Estimate planned;                  ///< interruptions by maintenance
  Estimate wall;                     ///< seconds of a run
  Estimate tokens;                   ///< in a day
  double unfinished = 0;             ///< share of the runs that were given up
  std::optional<Seconds> to_finish;  ///< the tokens of the run, in the mean
  double gpu_hours = 0;              ///< until then, or of the duration, with those of the spares
  std::optional<double> dollars;     ///< of them
};

/// Simulates many runs of one size.
[[nodiscard]] Outcome goodput(const Reliability& reliability, const Size& size,
                              std::optional<double> tokens, const MonteCarlo& monte_carlo);

/// What a report says beside the outcomes.
struct Heading {
  std::string title;             ///< model, platform
  std::string step_time_source;  ///< "simulated", "given"
  CheckpointSize checkpoint;
  bool is_checkpoint_given = false;
  std::optional<double> tokens;
  std::vector<std::string> notes;
};

/// A screen on one size.
[[nodiscard]] std::string goodput_text(const Heading& heading, const Reliability& reliability,
                                       const Outcome& outcome);
/// A row for each size, and what growing brings. REQUIRES: outcomes is not empty.
[[nodiscard]] std::string goodput_table(const Heading& heading, const Reliability& reliability,
                                        const std::vector<Outcome>& outcomes);
[[nodiscard]] std::string goodput_json(const Heading& heading, const Reliability& reliability,
                                       const std::vector<Outcome>& outcomes);
[[nodiscard]] std::string goodput_csv(const std::vector<Outcome>& outcomes);

}  // namespace foretrain::goodput
