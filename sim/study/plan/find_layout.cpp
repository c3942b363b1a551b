// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/find_layout.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/search/search.hpp"
#include "sim/study/workers.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kLongSequence = 32'768;  // tokens from which context parallelism is tried

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

PlanPoint refused(std::int64_t gpus, std::string reason) {
  PlanPoint point;
  point.gpus = gpus;
  point.refusal = std::move(reason);
  return point;
}

// The engine wants a process of its own.
PlanPoint predict_in_worker(const PredictSets& predict, const std::vector<std::string>& sets) {
  const auto texts = run_in_workers(1, 1, [&](std::size_t) { return pack(predict(sets)); });
  return unpack(texts.front());
}

PlanPoint find(const SearchSpace& space, const OpenRun& open, SearchOptions how,
               const FindOptions& options) {
  const std::int64_t gpus = how.gpus.front();
  how.top = 1;
  how.jobs = options.jobs;
  how.progress = options.progress;
  std::vector<RankedLayout> top;
  try {
    top = search(space, how).top;
  } catch (const ConfigError& error) {
    return refused(gpus, error.diagnostics().front().message);
  }
  if (top.empty()) {
    return refused(gpus, "no layout fits");
  }
  const LayoutChoice& layout = top.front().layout;
  std::vector<std::string> sets = open.sets;
  for (std::string& set : space.sets_of(layout)) {
    sets.push_back(std::move(set));
  }
  sets.push_back(fmt::format("parallel.sequence_parallel={}",
                             layout.tensor > 1 && open.run.parallel.sequence_parallel));
  PlanPoint point = predict_in_worker(options.predict, sets);
  point.gpus = gpus;
  point.layout = short_text_of(layout) + open.words;
  point.sets = std::move(sets);
  return point;
}

}  // namespace

FixedChoices usual_choices(const Run& run) {
  FixedChoices choices;
  choices.schedules = {"1f1b", "interleaved-1f1b"};
  choices.offloads = {OffloadChoice::none};
  choices.numbers["parallel.zero"] = {0, 1, 3};
  choices.numbers["training.micro_batch"] = {1, 2, 4, 8};
  if (run.training.sequence_length < kLongSequence) {
    choices.numbers["parallel.context"] = {1};
  }
  return choices;
}

PlanPoint fastest_layout(const OpenRun& open, std::int64_t gpus, const FixedChoices& choices,
                         const FindOptions& options) {
  SearchOptions how;
  how.gpus = {gpus};
  if (options.too_slow) {
    how.too_much = options.too_slow->value;
  }
  return find(SearchSpace(open.file, open.run, choices), open, std::move(how), options);
}

PlanPoint small_layout(const OpenRun& open, std::int64_t gpus, const FindOptions& options) {
  OpenRun small = open;
  small.run.training.global_batch = 2 * gpus;
  small.sets.push_back(fmt::format("training.global_batch={}", 2 * gpus));
  SearchOptions how;
  how.gpus = {gpus};
  how.objective = Objective::memory;
  how.good_enough = small.run.cluster.least_memory().value;
  return find(SearchSpace(small.file, small.run, usual_choices(small.run)), small, std::move(how),
              options);
}

}  // namespace foretrain
