// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/fitting.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"

namespace foretrain::cli {
namespace {

std::string set(std::string_view key, std::int64_t value) {
  return fmt::format("{}={}", key, value);
}

// Each says the next step of one technique as an assignment; nothing where there is none.
std::optional<std::string> next_zero(const Run& run) {
  const bool can = run.parallel.zero < 3 && run.replicas() > 1;
  return can ? std::optional(set("parallel.zero", run.parallel.zero + 1)) : std::nullopt;
}
std::optional<std::string> zero_3(const Run& run) {
  const bool can = run.parallel.zero < 2 && run.replicas() > 1;
  return can ? std::optional(set("parallel.zero", 3)) : std::nullopt;
}
std::optional<std::string> selective(const Run& run) {
  return run.training.recompute == Recompute::none
             ? std::optional<std::string>("training.recompute=selective")
             : std::nullopt;
}
std::optional<std::string> full(const Run& run) {
  return run.training.recompute == Recompute::full || run.training.recompute == Recompute::above
             ? std::nullopt
             : std::optional<std::string>("training.recompute=full");
}
std::optional<std::string> smaller_micro_batch(const Run& run) {
  const std::int64_t now = run.training.micro_batch;
  return now % 2 == 0 ? std::optional(set("training.micro_batch", now / 2)) : std::nullopt;
}
std::optional<std::string> sequence_parallel(const Run& run) {
  return run.parallel.tensor > 1 && !run.parallel.sequence_parallel
             ? std::optional<std::string>("parallel.sequence_parallel=true")
             : std::nullopt;
}
std::optional<std::string> offload(const Run& run) {
  return run.training.offload_activations <= 0
             ? std::optional<std::string>("training.offload_activations=1")
             : std::nullopt;
}
std::optional<std::string> optimizer_on_host(const Run& run) {
  return run.parallel.zero > 0 && !run.offload.optimizer
             ? std::optional<std::string>("offload.optimizer=true")
             : std::nullopt;
}
std::optional<std::string> more_tensor(const Run& run) {
  const std::int64_t next = 2 * run.parallel.tensor;
  return next <= run.cluster.gpus_per_node ? std::optional(set("parallel.tensor", next))
                                           : std::nullopt;
}
std::optional<std::string> more_pipeline(const Run& run) {
  return set("parallel.pipeline", 2 * run.parallel.pipeline);
}

// In the order in which they cost time, as a rule.
constexpr std::array kChanges = {next_zero,         selective, smaller_micro_batch,
                                 sequence_parallel, zero_3,    more_tensor,
                                 more_pipeline,     full,      offload,
                                 optimizer_on_host};

struct Trial {
  std::vector<std::string> sets;
  Bytes peak;
  bool fits = false;
};

Bytes peak_of(const Prediction& prediction) {
  Bytes most;
  for (const RoleMemory& role : prediction.memory) {
    most = std::max(most, role.peak.total());
  }
  return most;
}

class Fitting {
 public:
  Fitting(const RunOptions& options, const Run& run) : options_(options), run_(run) {}

  // Changes of one key; then, onto the one that leaves the least, another, and so on.
  std::vector<Trial> search() {
    std::vector<std::string> base;
    Run run = run_;
    for (int depth = 0; depth < kMostChanges; ++depth) {
      std::vector<Trial> trials = try_each(base, run);
      std::vector<Trial> good;
      std::copy_if(trials.begin(), trials.end(), std::back_inserter(good),
                   [](const Trial& trial) { return trial.fits; });
      if (!good.empty() || trials.empty()) {
        return good;
      }
      const auto least =
          std::min_element(trials.begin(), trials.end(),
                           [](const Trial& a, const Trial& b) { return a.peak < b.peak; });
      base = least->sets;
      run = *resolved(base);
    }
    return {};
  }

 private:
  static constexpr int kMostChanges = 4;

  // Nothing when the run is refused so.
  std::optional<Run> resolved(const std::vector<std::string>& sets) const {
    RunOptions changed = options_;
    changed.sets.insert(changed.sets.end(), sets.begin(), sets.end());
    try {
      LoadedRun loaded;
      load_run(changed, loaded);
      return loaded.run;
    } catch (const ConfigError&) {
      return std::nullopt;
    }
  }

  std::vector<Trial> try_each(const std::vector<std::string>& base, const Run& run) const {
    std::vector<Trial> trials;
    for (const auto change : kChanges) {
      const std::optional<std::string> assignment = change(run);
      if (!assignment) {
        continue;
      }
      Trial trial;
      trial.sets = base;
      trial.sets.push_back(*assignment);
      const std::optional<Run> changed = resolved(trial.sets);
      if (!changed) {
        continue;
      }
      const Prediction prediction = simulate(*changed).prediction;
      trial.peak = peak_of(prediction);
      trial.fits = prediction.fits();
      trials.push_back(trial);
    }
    return trials;
  }

  const RunOptions& options_;
  const Run& run_;
};

}  // namespace

std::vector<std::string> changes_that_fit(const RunOptions& options, const Run& run) {
  std::vector<std::string> notes;
  for (const Trial& trial : Fitting(options, run).search()) {
    notes.push_back(fmt::format("it would fit with --set {} (peak {:.2f} GB)",
                                fmt::join(trial.sets, " --set "), trial.peak.value * 1e-9));
  }
  if (notes.empty()) {
    notes.emplace_back(
        "no change of ZeRO stage, recomputation, micro-batch, tensor or pipeline parallelism or "
        "offloading was found that makes it fit on these GPUs");
  }
  return notes;
}

}  // namespace foretrain::cli
