// The best layouts of a run among all that its model and platform admit. An analytic lower bound of
// the step time and one of the memory drop what cannot be among the best, the simulator ranks the
// rest, the most promising first, and the search ends when no bound is better than the worst place
// of the list: then the list is proved.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/study/search/space.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// What is made small: the time of a step; its money, price x GPUs x time; its energy. All three
/// are for the run's global batch, so the best for a step is the best for a training.
enum class Objective : std::uint8_t { time, cost, energy };

/// Watts of one GPU with its share of the host, and the factor of the building.
struct PowerModel {
  double load_watts = 0;  ///< while it computes or communicates
  double idle_watts = 0;  ///< while it waits: pipeline bubble and host
  double pue = 1;         ///< power of the building per power of the machines
};

struct SearchOptions {
  Objective objective = Objective::time;
  std::vector<std::int64_t> gpus;  ///< sizes to search; empty: the run's own
  double headroom = 0;             ///< share of the GPU's memory that has to stay free, [0, 1)
  std::size_t top = 10;            ///< how many layouts are ranked, at least 1
  std::size_t jobs = 1;            ///< worker processes, at least 1
  std::optional<double> price_per_gpu_hour;  ///< REQUIRED for Objective::cost; any currency
  std::optional<PowerModel> power;           ///< REQUIRED for Objective::energy
  std::optional<Seconds>
      time_limit;              ///< of the search; it then ends unproved, and says how far off
  bool is_exhaustive = false;  ///< simulate everything that is admissible: no bound is used
  bool wants_front = false;    ///< also find the Pareto front, which no top list holds whole
  /// Told now and then what the search is doing.
  std::function<void(const std::string&)> progress;
};

/// What the simulator said of a layout.
struct Outcome {
  Seconds step_time;
  double tokens_per_second = 0;
  double model_flops_utilization = 0;
  Bytes memory_peak;  ///< of the rank that holds most
  Bytes memory_capacity;
  bool fits = true;   ///< within the headroom, and in the host's memory
  std::string limit;  ///< what takes most of the step besides compute: "tensor communication"
  double limit_share = 0;
  double idle_share = 0;  ///< of the step: pipeline bubble and host
  std::string refusal;    ///< why there is no prediction
  [[nodiscard]] bool is_valid() const { return refusal.empty(); }
};

struct Candidate {
  LayoutChoice layout;
  Seconds time_bound;  ///< no simulated step is shorter
  Bytes memory_bound;  ///< no simulated peak is lower
  double value = 0;    ///< of the objective: seconds, money or joules of a step
  Outcome outcome;     ///< where it was simulated
};

/// What became of the candidates; every one of the space has one fate.
struct Fates {
  std::map<std::string, std::size_t> inadmissible;  ///< by the key of the first check that refuses
  std::size_t merged = 0;                           ///< the same program as another candidate
  std::size_t too_large = 0;                        ///< the memory bound is above what may be used
  std::size_t too_slow = 0;  ///< the time bound is above the worst of the top list
  std::size_t simulated_fits = 0;
  std::size_t simulated_too_large = 0;
  std::size_t refused = 0;  ///< by the simulator
  std::size_t unseen = 0;   ///< when the time was up
  [[nodiscard]] std::size_t total() const;
};

struct SearchResult {
  std::vector<Candidate> top;    ///< best first; by layout where values are equal
  std::vector<Candidate> front;  ///< Pareto front of step time, GPUs and memory peak; by GPUs
  Fates fates;
  std::size_t space = 0;                 ///< candidates in all
  bool is_proved = false;                ///< that no other candidate belongs into `top`
  std::optional<double> best_remaining;  ///< least value that a candidate left unsimulated can have
  std::string space_text;                ///< what was varied, between which limits
  /// Where the time went, for talk: not the same from run to run.
  Seconds bound_wall;
  Seconds simulation_wall;
};

/// Searches. Throws ConfigError when the run file itself has mistakes, when nothing is admissible
/// in it whatever the layout, or when the objective lacks its price or power.
[[nodiscard]] SearchResult search(const SearchSpace& space, const SearchOptions& options);

/// Simulates every admissible candidate and compares: what differs, or nothing.
[[nodiscard]] std::optional<std::string> differs_from_exhaustive(const SearchSpace& space,
                                                                 const SearchOptions& options,
                                                                 const SearchResult& result);

[[nodiscard]] std::string search_text(const SearchResult& result, const SearchOptions& options);
[[nodiscard]] std::string search_json(const SearchResult& result, const SearchOptions& options);
[[nodiscard]] std::string search_csv(const SearchResult& result, const SearchOptions& options);
/// The front: gpus, step time, cost where a price is known, memory peak and headroom, layout.
[[nodiscard]] std::string front_csv(const SearchResult& result, const SearchOptions& options);

}  // namespace foretrain
