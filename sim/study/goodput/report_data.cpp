// The outcome of simulated runs for programs: JSON and CSV, in SI base units.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/study/goodput/goodput.hpp"

namespace foretrain::goodput {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Estimate& estimate) {
  return {{"mean", estimate.mean},
          {"low_95", estimate.mean - estimate.half_width},
          {"high_95", estimate.mean + estimate.half_width},
          {"run_5", estimate.low},
          {"run_95", estimate.high}};
}

// "recomputed work" -> "recomputed_work".
std::string key_of(std::string_view words) {
  std::string key(words);
  for (char& letter : key) {
    letter = letter == ' ' ? '_' : letter;
  }
  return key;
}

Json or_null(Seconds time) { return time < kNever ? Json(time.value) : Json(nullptr); }

Json job_json(const Outcome& outcome) {
  const Job& job = outcome.job;
  return {{"between_failures_s", or_null(outcome.between_failures)},
          {"detection_s", job.detection.value},
          {"swap_s", job.swap.value},
          {"restart_s", job.restart.value},
          {"spare_nodes", job.spares},
          {"checkpoint_bytes", outcome.size.checkpoint.value},
          {"checkpoint_write_s", job.checkpointing.write.value},
          {"checkpoint_stall_s", job.checkpointing.stall.value},
          {"checkpoint_interval_s", or_null(job.checkpointing.interval)},
          {"interval_rule", name_of(outcome.rule)},
          {"shrink_unit_nodes", job.shrink_unit},
          {"shrunk_rates", job.shrunk_rates}};
}

Json closed_json(const ClosedForms& closed) {
  return {{"recovery_s", closed.recovery.value},
          {"young_interval_s", closed.young.value},
          {"daly_interval_s", closed.daly.value},
          {"daly_effective", closed.exact},
          {"kokolis_effective", closed.kokolis}};
}

Json outcome_json(const Outcome& outcome) {
  Json json = {{"nodes", outcome.size.nodes},
               {"gpus", outcome.size.gpus},
               {"step_time_s", outcome.size.step_time.value},
               {"tokens_per_step", outcome.size.tokens_per_step},
               {"job", job_json(outcome)},
               {"effective_training_time", json_of(outcome.effective)}};
  for (std::size_t i = 0; i < kNumLosses; ++i) {
    json["lost"][key_of(name_of(static_cast<Loss>(i)))] = json_of(outcome.lost[i]);
  }
  json["interruptions"] = json_of(outcome.failures);
  for (std::size_t i = 0; i < kNumPartKinds; ++i) {
    json["interruptions_by_kind"][std::string(name_of(static_cast<PartKind>(i)))] =
        outcome.failures_by_kind[i];
  }
  json["planned_interruptions"] = json_of(outcome.planned);
  json["wall_s"] = json_of(outcome.wall);
  json["tokens_per_day"] = json_of(outcome.tokens);
  json["time_to_finish_s"] = outcome.to_finish ? Json(outcome.to_finish->value) : Json(nullptr);
  json["gpu_hours"] = outcome.gpu_hours;
  json["dollars"] = outcome.dollars ? Json(*outcome.dollars) : Json(nullptr);
  json["given_up"] = outcome.unfinished;
  json["closed_forms"] = outcome.closed ? closed_json(*outcome.closed) : Json(nullptr);
  return json;
}

}  // namespace

std::string goodput_json(const Heading& heading, const Reliability& reliability,
                         const std::vector<Outcome>& outcomes) {
  Json json = {{"title", heading.title},
               {"step_time", heading.step_time_source},
               {"tokens", heading.tokens ? Json(*heading.tokens) : Json(nullptr)},
               {"runs", outcomes.front().monte_carlo.runs},
               {"seed", outcomes.front().monte_carlo.seed},
               {"rates", reliability.rates},
               {"checkpoint",
                {{"parameters", heading.checkpoint.parameters},
                 {"parameter_bytes", heading.checkpoint.parameter.value},
                 {"optimizer_bytes", heading.checkpoint.optimizer.value}}},
               {"notes", heading.notes},
               {"sizes", Json::array()},
               {"inputs", Json::array()}};
  for (const Outcome& outcome : outcomes) {
    json["sizes"].push_back(outcome_json(outcome));
  }
  for (const Fact& fact : facts(reliability)) {
    json["inputs"].push_back({{"name", fact.name},
                              {"value", fact.value},
                              {"basis", config::name_of(fact.basis)},
                              {"source", fact.source}});
  }
  return json.dump(2) + "\n";
}

std::string goodput_csv(const std::vector<Outcome>& outcomes) {
  std::string text =
      "nodes,gpus,step_time_s,between_failures_s,checkpoint_interval_s,effective,effective_low_95,"
      "effective_high_95,interruptions,planned,tokens_per_day,time_to_finish_s,gpu_hours,dollars";
  for (std::size_t i = 0; i < kNumLosses; ++i) {
    text += ",lost_" + key_of(name_of(static_cast<Loss>(i)));
  }
  text += "\n";
  const auto maybe = [](bool is_there, double value) {
    return is_there ? fmt::format("{}", value) : std::string();
  };
  for (const Outcome& outcome : outcomes) {
    text += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{}", outcome.size.nodes, outcome.size.gpus,
        outcome.size.step_time.value,
        maybe(outcome.between_failures < kNever, outcome.between_failures.value),
        maybe(outcome.interval.has_value(), outcome.interval.value_or(Seconds(0)).value),
        outcome.effective.mean, outcome.effective.mean - outcome.effective.half_width,
        outcome.effective.mean + outcome.effective.half_width, outcome.failures.mean,
        outcome.planned.mean, outcome.tokens.mean,
        maybe(outcome.to_finish.has_value(), outcome.to_finish.value_or(Seconds(0)).value),
        outcome.gpu_hours, maybe(outcome.dollars.has_value(), outcome.dollars.value_or(0)));
    for (const Estimate& lost : outcome.lost) {
      text += fmt::format(",{}", lost.mean);
    }
    text += "\n";
  }
  return text;
}

}  // namespace foretrain::goodput
