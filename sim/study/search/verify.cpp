// A search against brute force.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/study/search/bounds.hpp"
#include "sim/study/search/objective.hpp"
#include "sim/study/search/same_program.hpp"
#include "sim/study/search/search.hpp"
#include "sim/study/search/trial.hpp"

namespace foretrain {
namespace {

constexpr double kTolerance = 1e-9;

bool is_same(double a, double b) { return std::abs(a - b) <= kTolerance * std::max(a, b); }

class Verification {
 public:
  Verification(const SearchSpace& space, const SearchOptions& options)
      : space_(space), options_(options), same_programs_(space) {}

  std::vector<std::string> against(const SearchResult& result) {
    enumerate();
    const std::vector<LayoutOutcome> outcomes = simulate_all(space_, options_, layouts_);
    std::vector<double> values;
    for (std::size_t i = 0; i < layouts_.size(); ++i) {
      if (outcomes[i].is_valid()) {
        check_bounds(i, outcomes[i]);
        check_twin(i, outcomes);
        if (outcomes[i].fits && !twins_[i]) {
          values.push_back(value_of(options_, layouts_[i].gpus, outcomes[i]));
        }
      }
    }
    std::sort(values.begin(), values.end());
    values.resize(std::min(values.size(), options_.top));
    compare(values, result);
    return std::move(faults_);
  }

 private:
  void enumerate() {
    const std::vector<std::int64_t> sizes =
        options_.gpus.empty() ? std::vector<std::int64_t>{space_.base().num_gpus()} : options_.gpus;
    for (const std::int64_t gpus : sizes) {
      space_.for_each(gpus, [this](const LayoutChoice& layout) {
        const Run run = space_.run_in(layout);
        if (!space_.why_not(run)) {
          layouts_.push_back(layout);
          twins_.push_back(same_programs_.before(layout, run));
        }
      });
    }
  }

  void check_bounds(std::size_t i, const LayoutOutcome& outcome) {
    const Run run = space_.run_in(layouts_[i]);
    LayoutBounds bounds(run);
    for (const LayoutBound& bound : {bounds.quick(run), bounds.scheduled(run)}) {
      check(bound.time.value, outcome.step_time.value, "time", i);
      check(bound.memory.value, outcome.memory_peak.value, "memory", i);
    }
  }
  // The simulator tells whole picoseconds.
  void check(double bound, double simulated, const char* what, std::size_t i) {
    constexpr double kPicosecond = 1e-12;
    if (bound > simulated * (1 + kTolerance) + kPicosecond) {
      faults_.push_back(
          fmt::format("{} bound {} is above {}: {}", what, bound, simulated, text_of(layouts_[i])));
    }
  }

  void check_twin(std::size_t i, const std::vector<LayoutOutcome>& outcomes) {
    if (!twins_[i]) {
      return;
    }
    const auto twin = std::find(layouts_.begin(), layouts_.end(), *twins_[i]);
    const LayoutOutcome& other = outcomes[static_cast<std::size_t>(twin - layouts_.begin())];
    if (twin == layouts_.end() || other.step_time != outcomes[i].step_time ||
        other.memory_peak != outcomes[i].memory_peak) {
      faults_.push_back(
          fmt::format("not the same program: {}; {}", text_of(layouts_[i]), text_of(*twins_[i])));
    }
  }

  void compare(const std::vector<double>& values, const SearchResult& result) {
    if (values.size() != result.top.size()) {
      faults_.push_back(fmt::format("the list has {} places, all layouts fill {}",
                                    result.top.size(), values.size()));
      return;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!is_same(values[i], result.top[i].value)) {
        faults_.push_back(fmt::format("place {} of the list has {}, of all layouts {}", i + 1,
                                      result.top[i].value, values[i]));
      }
    }
  }

  const SearchSpace& space_;
  const SearchOptions& options_;
  SamePrograms same_programs_;
  std::vector<LayoutChoice> layouts_;
  std::vector<std::optional<LayoutChoice>> twins_;
  std::vector<std::string> faults_;
};

}  // namespace

std::vector<std::string> verify(const SearchSpace& space, const SearchOptions& options,
                                const SearchResult& result) {
  return Verification(space, options).against(result);
}

}  // namespace foretrain
