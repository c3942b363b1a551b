// What a simulated step comes to, and how it is told: text for people, JSON for programs.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "sim/report/breakdown.hpp"
#include "sim/report/generation.hpp"
#include "sim/report/memory_curve.hpp"

namespace foretrain {

/// Memory of the ranks of one role at the moment when they hold most.
struct RoleMemory {
  std::string role;  ///< "stage 0"
  Bytes capacity;
  MemoryPoint peak;
  [[nodiscard]] bool fits() const { return peak.total() <= capacity; }
  /// More than 1 does not fit.
  [[nodiscard]] double used_share() const { return peak.total() / capacity; }
};

/// The one that is nearest to its capacity, or furthest beyond it. REQUIRES: not empty.
[[nodiscard]] const RoleMemory& fullest_role(const std::vector<RoleMemory>& memory);

/// What the ranks of one node hold in the memory of their host; of the node that holds most.
struct HostMemory {
  Bytes used;
  Bytes capacity;
  [[nodiscard]] bool fits() const { return used <= capacity; }
};

/// How the simulation was carried out.
struct SimulationFacts {
  std::size_t ranks = 0;
  std::size_t simulated_ranks = 0;
  std::size_t events = 0;      ///< ops played
  std::size_t activities = 0;  ///< sleeps and transfers in SimGrid
  Seconds wall;                ///< the only value that differs from run to run
  std::string fidelity = "full";
  std::string lumping;  ///< "96 ranks -> 8 simulated (data x12); not lumped further: ..."
  std::vector<std::string> lumping_reasons;  ///< why there is more than one simulated rank
};

struct Provenance {
  std::string version;
  std::uint64_t seed = 0;
  std::string config_hash;  ///< FNV-1a, 64 bit, over the texts of all inputs
  std::vector<std::pair<std::string, std::string>> inputs;  ///< name and full text of each
};

/// A published measurement beside the prediction.
struct Comparison {
  std::string quantity;  ///< "step time", "TFLOP/s per GPU with recompute"
  double measured = 0;
  double predicted = 0;
  double naive = 0;  ///< of "half of peak": FLOPs / (GPUs x peak / 2)
  std::string unit;
  std::string source;
};

/// Where the real step will be, going by the errors of predictions of the same kind of run.
struct Interval {
  Seconds low;
  Seconds high;
  std::string kind;        ///< of run; "all" when there were too few of its own
  std::size_t within = 0;  ///< of `cases`, each predicted without errors of its own source
  std::size_t cases = 0;
  std::size_t sources = 0;
};

/// What makes GPUs, links and kernels differ from the platform's description in this run.
struct VariationFacts {
  double kernel_jitter = 0;
  std::uint64_t seed = 0;
  std::vector<std::pair<std::string, double>> gpus;   ///< name and share of the compute rate
  std::vector<std::pair<std::string, double>> links;  ///< name and share of the capacity
};

struct Prediction {
  std::string title;   ///< model, platform and size
  std::string layout;  ///< degrees, micro-batches, precision, schedule
  Picoseconds step_time;
  double tokens_per_second = 0;
  double num_gpus = 0;
  double model_flops_utilization = 0;
  double hardware_flops_utilization = 0;
  FlopsPerSecond model_flops_per_gpu;
  FlopsPerSecond hardware_flops_per_gpu;
  Seconds naive_step_time;  ///< hardware FLOPs / (GPUs x half of peak)
  std::optional<Seconds> training_time;
  std::optional<Interval> interval;  ///< of step_time, when errors of such predictions are known
  Breakdown breakdown;
  std::vector<RoleMemory> memory;
  std::optional<HostMemory> host;              ///< where something is offloaded
  std::optional<GenerationMemory> generation;  ///< where the run has such a table
  std::vector<std::string> fitting;            ///< what would make it fit, where it does not
  std::vector<std::pair<std::string, Breakdown>> by_role;
  SimulationFacts simulation;
  std::optional<VariationFacts> variation;
  Provenance provenance;
  std::vector<Comparison> comparisons;
  std::vector<std::string> notes;  ///< transferred and assumed numbers that this leans on

  [[nodiscard]] bool fits() const;
};

/// The parts of a step in seconds, flat, so that they add up to it.
[[nodiscard]] nlohmann::ordered_json breakdown_json(const Breakdown& parts);
/// The report of `simulate`, without values that differ from run to run.
[[nodiscard]] std::string to_text(const Prediction& prediction);
/// The memory table alone, for `memory`.
[[nodiscard]] std::string memory_text(const Prediction& prediction);
[[nodiscard]] std::string memory_json(const Prediction& prediction);
[[nodiscard]] std::string memory_csv(const Prediction& prediction);
/// One JSON object (see README.md for its keys); numbers in SI base units.
[[nodiscard]] std::string to_json(const Prediction& prediction);
[[nodiscard]] std::string to_csv(const Prediction& prediction);

}  // namespace foretrain
