// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/objective.hpp"

#include <algorithm>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

constexpr Seconds kHour{3600};

[[noreturn]] void fail(const std::string& key, const std::string& message) {
  throw ConfigError({Diagnostic{"", 0, 0, key, message, "", 0}});
}

// Joules of so long a step, of which a GPU waits for `idle`.
double energy(const GpuPower& power, std::int64_t gpus, Seconds step, Seconds idle) {
  return static_cast<double>(gpus) * power.pue *
         (power.load_watts * (step - idle).value + power.idle_watts * idle.value);
}

}  // namespace

void check_objective(const SearchOptions& options) {
  if (options.objective == Objective::cost && !options.price) {
    fail("--price", "the objective is cost: what does a GPU cost for an hour? (--price '$2.50/h')");
  }
  if (options.objective == Objective::energy && !options.power) {
    fail("--load-power",
         "the objective is energy: what does a GPU take under load, what while it waits, what its "
         "host? (--load-power '700 W' --idle-power '100 W' --host-power '350 W')");
  }
  if (options.power && options.power->idle_watts > options.power->load_watts) {
    fail("--idle-power", "a GPU that waits cannot take more than one under load");
  }
}

double cost_of(const SearchOptions& options, std::int64_t gpus, Seconds step) {
  return *options.price * static_cast<double>(gpus) * (step / kHour);
}

double value_of(const SearchOptions& options, std::int64_t gpus, const LayoutOutcome& outcome) {
  switch (options.objective) {
    case Objective::time:
      return outcome.step_time.value;
    case Objective::cost:
      return cost_of(options, gpus, outcome.step_time);
    case Objective::energy:
      return energy(*options.power, gpus, outcome.step_time,
                    outcome.idle_share * outcome.step_time);
    case Objective::memory:
      return outcome.memory_peak.value;
  }
  throw InternalError("an objective without a value");
}

// A GPU waits for at most what its computing leaves of the step. The clocks of simulator and bounds
// add up in another order, so that they may differ by rounding.
double least_value(const SearchOptions& options, std::int64_t gpus, const LayoutBound& bound) {
  constexpr double kRounding = 1 - 1e-9;
  switch (options.objective) {
    case Objective::time:
      return bound.time.value * kRounding;
    case Objective::cost:
      return cost_of(options, gpus, bound.time) * kRounding;
    case Objective::energy:
      return energy(*options.power, gpus, bound.time,
                    std::max(Seconds(0), bound.time - bound.busy)) *
             kRounding;
    case Objective::memory:
      return bound.memory.value * kRounding;
  }
  throw InternalError("an objective without a bound");
}

}  // namespace foretrain
