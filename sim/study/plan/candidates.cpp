// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/candidates.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/study/workers.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::json;

// Of a GPU's memory a guess may be wrong by so much before the layout is not even simulated.
constexpr double kGuessMargin = 1.1;

std::string pack(const PlanPoint& point) {
  return Json{{"step", point.step_time.value}, {"low", point.low.value},
              {"high", point.high.value},      {"mfu", point.utilization},
              {"memory", point.memory_use},    {"fits", point.fits},
              {"idle", point.idle_share},      {"limit", point.limit},
              {"share", point.limit_share},    {"refusal", point.refusal}}
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

PlanPoint unpack(const std::optional<std::string>& text) {
  PlanPoint point;
  if (!text) {
    point.refusal = "the worker process died";
    return point;
  }
  const Json json = Json::parse(*text);
  point.step_time = Seconds(json["step"].get<double>());
  point.low = Seconds(json["low"].get<double>());
  point.high = Seconds(json["high"].get<double>());
  point.utilization = json["mfu"];
  point.memory_use = json["memory"];
  point.fits = json["fits"];
  point.idle_share = json["idle"];
  point.limit = json["limit"];
  point.limit_share = json["share"];
  point.refusal = json["refusal"];
  return point;
}

// The first `count` whose guessed peak is at most `margin` times the memory.
std::vector<PlanCandidate> first_small(const Run& run, const std::vector<GuessedLayout>& guesses,
                                       double margin, std::size_t count) {
  std::vector<PlanCandidate> candidates;
  for (const GuessedLayout& guess : guesses) {
    if (candidates.size() < count && guess.peak <= memory_of_gpu(run.cluster) * margin) {
      candidates.push_back({guess.layout, {}, ""});
    }
  }
  return candidates;
}

std::vector<std::string> sets_of(const PlanCandidate& candidate) {
  std::vector<std::string> sets = candidate.more_sets;
  for (std::string& set : candidate.layout.sets()) {
    sets.push_back(std::move(set));
  }
  return sets;
}

}  // namespace

std::vector<PlanCandidate> most_promising(const Run& run, std::int64_t gpus, std::size_t count,
                                          const std::vector<std::string>& more_sets) {
  std::vector<PlanCandidate> candidates =
      first_small(run, guess_layouts(run, gpus, BatchRule::given), 1.0, count);
  for (PlanCandidate& candidate : candidates) {
    candidate.more_sets = more_sets;
  }
  return candidates;
}

std::vector<PlanCandidate> smallest_guesses(const Run& run, std::int64_t gpus, std::size_t count,
                                            BatchRule rule) {
  std::vector<GuessedLayout> guesses = guess_layouts(run, gpus, rule);
  std::stable_sort(guesses.begin(), guesses.end(),
                   [](const GuessedLayout& a, const GuessedLayout& b) { return a.peak < b.peak; });
  std::vector<PlanCandidate> candidates = first_small(run, guesses, kGuessMargin, count);
  for (PlanCandidate& candidate : candidates) {
    if (rule == BatchRule::open) {
      const PlanLayout& layout = candidate.layout;
      candidate.more_sets.push_back(fmt::format(
          "training.global_batch={}", 2 * layout.micro_batch * layout.data() * layout.pipeline));
    }
  }
  return candidates;
}

std::vector<PlanPoint> simulate_each(const std::vector<PlanCandidate>& candidates, std::size_t jobs,
                                     const PredictSets& predict) {
  const auto texts = run_in_workers(candidates.size(), jobs, [&](std::size_t i) {
    return pack(predict(sets_of(candidates[i])));
  });
  std::vector<PlanPoint> points;
  points.reserve(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    PlanPoint& point = points.emplace_back(unpack(texts[i]));
    point.gpus = candidates[i].layout.gpus;
    point.layout = candidates[i].layout.text() + candidates[i].more_text;
    point.sets = sets_of(candidates[i]);
  }
  return points;
}

std::optional<PlanPoint> best_of(const std::vector<PlanCandidate>& candidates, std::size_t jobs,
                                 const PredictSets& predict) {
  std::optional<PlanPoint> best;
  for (PlanPoint& point : simulate_each(candidates, jobs, predict)) {
    if (point.is_good() && (!best || point.step_time < best->step_time)) {
      best = std::move(point);
    }
  }
  return best;
}

}  // namespace foretrain
