// The best layouts of a run among all that its model and platform admit. Analytic lower bounds of
// the step time and of the memory drop what cannot be among the best, the simulator ranks the rest,
// the most promising first, and the search ends when no bound is better than the last place of the
// list: then the list is proved.
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

namespace foretrain {

/// What is made small: the time of a step; its money, price x GPUs x time; its energy; the memory
/// peak of the GPU that holds most. A step has the run's global batch, so the best for a step is
/// the best for a training.
enum class Objective : std::uint8_t { time, cost, energy, memory };

/// Power of one GPU with its share of the host, and what the building takes besides.
struct GpuPower {
  double load_watts = 0;  ///< while it computes or communicates
  double idle_watts = 0;  ///< while it waits: pipeline bubble and host; at most load_watts
  double pue = 1;         ///< power of the building over power of the machines, at least 1
};

struct SearchOptions {
  Objective objective = Objective::time;
  std::vector<std::int64_t> gpus;     ///< sizes to search; empty: the run's own
  double headroom = 0;                ///< share of a GPU's memory that has to stay free, [0, 1)
  std::size_t top = 10;               ///< how many layouts are ranked, at least 1
  std::size_t jobs = 1;               ///< worker processes, at least 1
  std::optional<double> price;        ///< dollars per GPU and hour, needed for Objective::cost
  std::optional<GpuPower> power;      ///< needed for Objective::energy
  std::optional<Seconds> time_limit;  ///< after which the search ends unproved
  std::optional<double> good_enough;  ///< a value: the search ends once the list is this good,
  std::optional<double> too_much;     ///< and one that no layout of interest reaches
  bool is_exhaustive = false;         ///< simulates all that is admissible, and looks at no bound
  std::function<void(const std::string&)> progress;  ///< told now and then what is going on
};

/// What the simulator said of a layout.
struct LayoutOutcome {
  Seconds step_time;
  double tokens_per_second = 0;
  double model_flops_utilization = 0;
  Bytes memory_peak;  ///< of the rank that holds most
  Bytes memory_capacity;
  bool fits = true;        ///< with the headroom, and in the hosts' memory
  std::string limit;       ///< what takes most of the step besides computing
  double limit_share = 0;  ///< of the step
  double idle_share = 0;   ///< pipeline bubble and host
  std::string refusal;     ///< why there is no prediction
  [[nodiscard]] bool is_valid() const { return refusal.empty(); }
};

struct RankedLayout {
  LayoutChoice layout;
  Seconds time_bound;  ///< no simulated step is shorter
  Bytes memory_bound;  ///< no simulated peak is lower
  double value = 0;    ///< of the objective, for one step: seconds, dollars, joules or bytes
  LayoutOutcome outcome;
};

/// What became of the layouts of the space; each has one fate.
struct Fates {
  std::map<std::string, std::size_t> inadmissible;  ///< by the key that the first refusal points at
  std::size_t same_program = 0;                     ///< as another layout, which stands for both
  std::size_t too_large = 0;                        ///< by the memory bound
  std::size_t too_slow = 0;      ///< by the time bound, for the last place of the list
  std::size_t fits = 0;          ///< simulated, and does
  std::size_t does_not_fit = 0;  ///< simulated, and does not
  std::size_t refused = 0;       ///< by the simulator
  std::size_t unseen = 0;        ///< when time was up
  [[nodiscard]] std::size_t total() const;
  [[nodiscard]] std::size_t simulated() const { return fits + does_not_fit + refused; }
};

struct SearchResult {
  std::vector<RankedLayout> top;  ///< best first; in the order of the space where values are equal
  std::vector<RankedLayout> simulated;  ///< all that fit, in the order of the space
  Fates fates;
  bool is_proved = false;                ///< that no other layout belongs into `top`
  std::optional<double> best_remaining;  ///< the least that a layout left out for its time can have
  std::size_t bounded = 0;               ///< layouts whose bounds were worked out
  /// Of this process, for talk: differs from run to run.
  Seconds bounding_wall;
  Seconds simulating_wall;
};

/// Searches. Throws ConfigError when the objective lacks its price or power, or when there is no
/// admissible layout at all.
[[nodiscard]] SearchResult search(const SearchSpace& space, const SearchOptions& options);

/// One search for each of options.gpus.
[[nodiscard]] std::vector<SearchResult> search_each_size(const SearchSpace& space,
                                                         SearchOptions options);

/// Of what was simulated and fits, what nothing beats in GPUs, step time and memory peak at once;
/// by GPUs, then time. The best time of each size is among them; layouts that take longer for less
/// memory are as many as a search happened to simulate.
[[nodiscard]] std::vector<RankedLayout> pareto_front(const std::vector<SearchResult>& results);

/// Simulates every admissible layout and says what contradicts `result`: a bound that is above what
/// was simulated, a layout that is as good as the list and not in it, layouts that were taken for
/// the same program and are not. Empty when nothing does.
[[nodiscard]] std::vector<std::string> verify(const SearchSpace& space,
                                              const SearchOptions& options,
                                              const SearchResult& result);

[[nodiscard]] std::string search_text(const SearchSpace& space, const SearchOptions& options,
                                      const SearchResult& result);
[[nodiscard]] std::string search_json(const SearchSpace& space, const SearchOptions& options,
                                      const SearchResult& result);
[[nodiscard]] std::string search_csv(const SearchSpace& space, const SearchOptions& options,
                                     const std::vector<RankedLayout>& candidates);

}  // namespace foretrain
