// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/trial.hpp"

#include <algorithm>
#include <tuple>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/workers.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::json;

LayoutOutcome outcome_of(const Prediction& prediction, double headroom) {
  LayoutOutcome outcome;
  outcome.step_time = prediction.step_time.seconds();
  outcome.tokens_per_second = prediction.tokens_per_second;
  outcome.model_flops_utilization = prediction.model_flops_utilization;
  outcome.fits = !prediction.host || prediction.host->fits();
  for (const RoleMemory& role : prediction.memory) {
    outcome.memory_peak = std::max(outcome.memory_peak, role.peak.total());
    outcome.memory_capacity = role.capacity;
    outcome.fits = outcome.fits && role.peak.total() <= (1 - headroom) * role.capacity;
  }
  const Breakdown& parts = prediction.breakdown;
  std::tie(outcome.limit, outcome.limit_share) = largest_overhead(parts);
  outcome.idle_share =
      (parts.bubble.seconds() + parts.host.seconds()).value / parts.step.seconds().value;
  return outcome;
}

LayoutOutcome simulate_one(const Run& run, double headroom) {
  LayoutOutcome outcome;
  try {
    outcome = outcome_of(simulate(run).prediction, headroom);
  } catch (const ConfigError& error) {
    outcome.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    outcome.refusal = std::string("internal error: ") + error.what();
  }
  return outcome;
}

std::string to_text(const LayoutOutcome& outcome) {
  return Json{outcome.step_time.value,
              outcome.tokens_per_second,
              outcome.model_flops_utilization,
              outcome.memory_peak.value,
              outcome.memory_capacity.value,
              outcome.fits,
              outcome.limit,
              outcome.limit_share,
              outcome.idle_share,
              outcome.refusal}
      .dump();
}

LayoutOutcome from_text(const std::string& text) {
  const Json json = Json::parse(text);
  LayoutOutcome outcome;
  std::size_t i = 0;
  outcome.step_time = Seconds(json[i++].get<double>());
  outcome.tokens_per_second = json[i++].get<double>();
  outcome.model_flops_utilization = json[i++].get<double>();
  outcome.memory_peak = Bytes(json[i++].get<double>());
  outcome.memory_capacity = Bytes(json[i++].get<double>());
  outcome.fits = json[i++].get<bool>();
  outcome.limit = json[i++].get<std::string>();
  outcome.limit_share = json[i++].get<double>();
  outcome.idle_share = json[i++].get<double>();
  outcome.refusal = json[i++].get<std::string>();
  return outcome;
}

}  // namespace

std::vector<LayoutOutcome> simulate_all(const SearchSpace& space, const SearchOptions& options,
                                        const std::vector<LayoutChoice>& layouts) {
  const auto texts = run_in_workers(layouts.size(), options.jobs, [&](std::size_t i) {
    return to_text(simulate_one(space.run_in(layouts[i]), options.headroom));
  });
  std::vector<LayoutOutcome> outcomes;
  outcomes.reserve(texts.size());
  for (const std::optional<std::string>& text : texts) {
    if (text) {
      outcomes.push_back(from_text(*text));
    } else {
      outcomes.emplace_back().refusal = "internal error: the process that simulated it died";
    }
  }
  return outcomes;
}

}  // namespace foretrain
