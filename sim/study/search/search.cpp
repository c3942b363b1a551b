// Branch and bound, best first. Every layout gets the quick bound; those that could be on the list
// get the bound that follows the schedule; the most promising of these are simulated, some at a
// time, until the next bound is above the last place of the list. Batches have their sizes whatever
// the number of workers, so that these change no answer.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/search.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <queue>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/search/objective.hpp"
#include "sim/study/search/same_program.hpp"
#include "sim/study/search/trial.hpp"

namespace foretrain {
namespace {

constexpr std::size_t kBatch = 16;
constexpr std::size_t kLeastBatch = 2;
constexpr double kNever = std::numeric_limits<double>::infinity();

using Clock = std::chrono::steady_clock;

/// A layout that nothing speaks against yet.
struct Open {
  LayoutChoice layout;
  LayoutBound bound;
  double least = 0;        ///< value that it has at least
  std::size_t number = 0;  ///< in the order of the space
};

bool comes_later(const Open& a, const Open& b) {
  return a.least != b.least ? a.least > b.least : a.number > b.number;
}

class Search {
 public:
  Search(const SearchSpace& space, const SearchOptions& options)
      : space_(space),
        options_(options),
        same_programs_(space),
        allowed_((1 - options.headroom) * space.base().cluster.least_memory()),
        run_(space.base()),
        started_(Clock::now()) {}

  SearchResult run() {
    check_objective(options_);
    const std::vector<std::int64_t> sizes =
        options_.gpus.empty() ? std::vector<std::int64_t>{space_.base().num_gpus()} : options_.gpus;
    for (const std::int64_t gpus : sizes) {
      space_.for_each(gpus, [this](const LayoutChoice& layout) { look_at(layout); });
    }
    refuse_nothing();
    std::sort(open_.begin(), open_.end(),
              [](const Open& a, const Open& b) { return comes_later(b, a); });
    result_.bounding_wall = elapsed();
    simulate_best_first();
    finish();
    return std::move(result_);
  }

 private:
  [[nodiscard]] Seconds elapsed() const {
    return Seconds(std::chrono::duration<double>(Clock::now() - started_).count());
  }
  void tell(const std::string& text) const {
    if (options_.progress) {
      options_.progress(text);
    }
  }
  [[nodiscard]] LayoutBounds& bounds_for(const Run& run) {
    std::unique_ptr<LayoutBounds>& bounds = bounds_[{run.num_gpus(), run.offload.optimizer}];
    if (!bounds) {
      bounds = std::make_unique<LayoutBounds>(run);
    }
    return *bounds;
  }

  // One layout of the space: its fate, or that it is open.
  void look_at(const LayoutChoice& layout) {
    const std::size_t number = number_++;
    space_.lay_out(layout, run_);
    if (const auto refusal = space_.why_not(run_)) {
      ++result_.fates.inadmissible[refusal->key];
      first_refusal_ = first_refusal_.empty() ? refusal->message : first_refusal_;
      return;
    }
    if (same_programs_.before(layout, run_)) {
      ++result_.fates.same_program;
      return;
    }
    Open open{layout, {}, 0, number};
    if (options_.is_exhaustive || is_worth_more(open)) {
      open_.push_back(open);
    }
  }

  // By the quick bound. An algorithm that the run forces may not serve the groups of a layout.
  bool is_worth_more(Open& open) {
    constexpr std::size_t kTellEvery = 4096;
    if (++result_.bounded % kTellEvery == 0) {
      tell(fmt::format("{} layouts bounded", result_.bounded));
    }
    try {
      open.bound = bounds_for(run_).quick(run_);
    } catch (const ConfigError& error) {
      ++result_.fates.inadmissible[error.diagnostics().front().key];
      return false;
    }
    open.least = least_value(options_, open.layout.gpus, open.bound);
    const bool can_fit = open.bound.memory <= allowed_ * (1 + kRounding);
    result_.fates.too_large += can_fit ? 0 : 1;
    return can_fit;
  }

  // Nothing can be laid out: the first reason is as good as any.
  void refuse_nothing() const {
    if (number_ == 0) {
      throw ConfigError({Diagnostic{
          "", 0, 0, "gpus",
          "no degrees of parallelism divide these GPUs, the layers and the global batch at once",
          "", 0}});
    }
    const bool is_any_admissible =
        !open_.empty() || result_.fates.too_large > 0 || result_.fates.same_program > 0;
    if (!is_any_admissible) {
      throw ConfigError({Diagnostic{"", 0, 0, result_.fates.inadmissible.begin()->first,
                                    "no layout is admissible: " + first_refusal_, "", 0}});
    }
  }

  void simulate_best_first() {
    const auto before = Clock::now();
    for (std::vector<Open> batch = next_batch(); !batch.empty(); batch = next_batch()) {
      std::vector<LayoutChoice> layouts;
      layouts.reserve(batch.size());
      for (const Open& open : batch) {
        layouts.push_back(open.layout);
      }
      const std::vector<LayoutOutcome> outcomes = simulate_all(space_, options_, layouts);
      for (std::size_t i = 0; i < batch.size(); ++i) {
        book(batch[i], outcomes[i]);
      }
      tell(fmt::format("{} layouts simulated", result_.fates.simulated()));
    }
    result_.simulating_wall = Seconds(std::chrono::duration<double>(Clock::now() - before).count());
  }

  // The value of the last place of the list; an empty one is worth what is of no interest.
  [[nodiscard]] double last_place() const {
    const double empty = options_.too_much.value_or(kNever);
    return values_.size() < options_.top
               ? empty
               : std::min(empty, *std::next(values_.begin(), last_index()));
  }
  [[nodiscard]] std::ptrdiff_t last_index() const {
    return static_cast<std::ptrdiff_t>(options_.top) - 1;
  }
  [[nodiscard]] bool is_over() const {
    const bool is_time_up = options_.time_limit && elapsed() >= *options_.time_limit;
    return is_time_up || (options_.good_enough && last_place() <= *options_.good_enough);
  }

  // Until the list is full no bound stops anything: few at first.
  [[nodiscard]] std::size_t batch_size() const {
    return values_.size() < options_.top ? std::clamp(options_.top, kLeastBatch, kBatch) : kBatch;
  }

  std::vector<Open> next_batch() {
    std::vector<Open> batch;
    while (batch.size() < batch_size() && !is_over()) {
      double quick = kNever;
      if (next_ < open_.size()) {
        quick = open_[next_].least;
      }
      double refined = kNever;
      if (!refined_.empty()) {
        refined = refined_.top().least;
      }
      if (std::min(quick, refined) == kNever || std::min(quick, refined) > last_place()) {
        break;
      }
      if (quick <= refined) {
        refine(open_[next_++]);
      } else {
        batch.push_back(refined_.top());
        refined_.pop();
      }
    }
    return batch;
  }

  void refine(Open open) {
    if (!options_.is_exhaustive) {
      space_.lay_out(open.layout, run_);
      const LayoutBound bound = bounds_for(run_).scheduled(run_);
      open.bound.time = std::max(open.bound.time, bound.time);
      open.bound.memory = std::max(open.bound.memory, bound.memory);
      open.least = least_value(options_, open.layout.gpus, open.bound);
      if (open.bound.memory > allowed_ * (1 + kRounding)) {
        ++result_.fates.too_large;
        return;
      }
    }
    refined_.push(open);
  }

  void book(const Open& open, const LayoutOutcome& outcome) {
    if (!outcome.is_valid()) {
      ++result_.fates.refused;
      return;
    }
    if (!outcome.fits) {
      ++result_.fates.does_not_fit;
    } else {
      ++result_.fates.fits;
      values_.insert(value_of(options_, open.layout.gpus, outcome));
    }
    booked_.push_back({open.number,
                       {open.layout, open.bound.time, open.bound.memory,
                        value_of(options_, open.layout.gpus, outcome), outcome}});
  }

  void finish() {
    const std::size_t rest = open_.size() - next_ + refined_.size();
    double least = kNever;
    if (next_ < open_.size()) {
      least = open_[next_].least;
    }
    if (!refined_.empty()) {
      least = std::min(least, refined_.top().least);
    }
    result_.is_proved = !(least <= last_place()) || rest == 0;
    (result_.is_proved ? result_.fates.too_slow : result_.fates.unseen) = rest;
    if (rest > 0) {
      result_.best_remaining = least;
    }
    std::sort(booked_.begin(), booked_.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [number, candidate] : booked_) {
      if (candidate.outcome.fits) {
        result_.simulated.push_back(candidate);
      }
    }
    result_.top = result_.simulated;
    std::stable_sort(
        result_.top.begin(), result_.top.end(),
        [](const RankedLayout& a, const RankedLayout& b) { return a.value < b.value; });
    result_.top.resize(std::min(result_.top.size(), options_.top));
  }

  static constexpr double kRounding = 1e-9;

  struct LaterComesLast {
    bool operator()(const Open& a, const Open& b) const { return comes_later(a, b); }
  };

  const SearchSpace& space_;
  const SearchOptions& options_;
  SamePrograms same_programs_;
  Bytes allowed_;
  Run run_;
  Clock::time_point started_;
  std::map<std::pair<std::int64_t, bool>, std::unique_ptr<LayoutBounds>> bounds_;
  std::size_t number_ = 0;
  std::string first_refusal_;
  std::vector<Open> open_;  // by least value, once all are there
  std::size_t next_ = 0;    // of them, not refined yet
  std::priority_queue<Open, std::vector<Open>, LaterComesLast> refined_;
  std::multiset<double> values_;  // of what fits
  std::vector<std::pair<std::size_t, RankedLayout>> booked_;
  SearchResult result_;
};

}  // namespace

std::size_t Fates::total() const {
  std::size_t sum = same_program + too_large + too_slow + simulated() + unseen;
  for (const auto& [key, count] : inadmissible) {
    sum += count;
  }
  return sum;
}

SearchResult search(const SearchSpace& space, const SearchOptions& options) {
  return Search(space, options).run();
}

std::vector<SearchResult> search_each_size(const SearchSpace& space, SearchOptions options) {
  const std::vector<std::int64_t> sizes = std::move(options.gpus);
  std::vector<SearchResult> results;
  results.reserve(sizes.size());
  for (const std::int64_t gpus : sizes) {
    options.gpus = {gpus};
    results.push_back(search(space, options));
  }
  return results;
}

}  // namespace foretrain
