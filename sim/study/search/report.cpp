// A search as text, JSON and CSV.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "sim/study/search/objective.hpp"
#include "sim/study/search/search.hpp"
#include "strategies/recompute/recompute.hpp"

namespace foretrain {
namespace {

using Json = nlohmann::ordered_json;

// "247,536".
std::string grouped(std::size_t number) {
  std::string text = std::to_string(number);
  for (std::size_t i = text.size(); i > 3; i -= 3) {
    text.insert(i - 3, ",");
  }
  return text;
}

std::string value_text(const SearchOptions& options, double value) {
  switch (options.objective) {
    case Objective::time:
      return fmt::format("{:#.5g} s", value);
    case Objective::cost:
      return fmt::format("${:#.5g}", value);
    case Objective::energy:
      return fmt::format("{:#.5g} kJ", value * 1e-3);
    case Objective::memory:
      return fmt::format("{:#.5g} GB", value * 1e-9);
  }
  return "";
}

std::string_view name_of(Objective objective) {
  switch (objective) {
    case Objective::time:
      return "time";
    case Objective::cost:
      return "cost";
    case Objective::energy:
      return "energy";
    case Objective::memory:
      return "memory";
  }
  return "";
}

std::string fate_line(const std::string& fate, std::size_t count, const std::string& remark) {
  std::string line = fmt::format("  {:<22}{:>11}  {}", fate, grouped(count), remark);
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string inadmissible_text(const Fates& fates) {
  std::vector<std::pair<std::size_t, std::string>> keys;
  for (const auto& [key, count] : fates.inadmissible) {
    keys.emplace_back(count, key);
  }
  std::sort(keys.rbegin(), keys.rend());
  std::string text;
  for (const auto& [count, key] : keys) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key, grouped(count));
  }
  return text;
}

std::size_t num_inadmissible(const Fates& fates) {
  std::size_t sum = 0;
  for (const auto& [key, count] : fates.inadmissible) {
    sum += count;
  }
  return sum;
}

std::string fates_text(const Fates& fates) {
  std::string text;
  text += fate_line("refused by a check", num_inadmissible(fates), inadmissible_text(fates));
  text += fate_line("the same program", fates.same_program, "as another one in the list");
  text += fate_line("too large", fates.too_large, "by the bound of the memory");
  text += fate_line("too slow", fates.too_slow, "by the bound of the step time");
  if (fates.unseen > 0) {
    text += fate_line("not looked at", fates.unseen, "when time was up");
  }
  text += fate_line(
      "simulated", fates.simulated(),
      fmt::format("{} fit, {} do not{}", grouped(fates.fits), grouped(fates.does_not_fit),
                  fates.refused > 0 ? fmt::format(", {} refused", grouped(fates.refused)) : ""));
  return text;
}

// Whether the list can be trusted, and why.
std::string proof_text(const SearchOptions& options, const SearchResult& result) {
  if (result.top.empty()) {
    return result.is_proved ? "nothing fits\n" : "nothing that fits was found in time\n";
  }
  const std::string last = value_text(options, result.top.back().value);
  if (!result.best_remaining) {
    return "proved: nothing is left\n";
  }
  const std::string least = value_text(options, *result.best_remaining);
  if (result.is_proved) {
    return fmt::format("proved: the best remaining bound is {}, the last of the list {}\n", least,
                       last);
  }
  const double best = result.top.front().value;
  return fmt::format(
      "not proved: something of {} may be left, {:.1f} % better than the best found\n", least,
      std::max(0.0, 100 * (1 - *result.best_remaining / best)));
}

std::string list_text(const SearchOptions& options, const SearchResult& result) {
  const bool has_value =
      options.objective == Objective::cost || options.objective == Objective::energy;
  std::string text = fmt::format("{:>3}{:>8}{:>11}{}{:>7}{:>8}   {:<30}{}\n", "", "GPUs", "step, s",
                                 has_value ? fmt::format("{:>13}", name_of(options.objective)) : "",
                                 "MFU %", "GB", "most besides computing", "layout");
  std::size_t place = 0;
  for (const RankedLayout& candidate : result.top) {
    const LayoutOutcome& outcome = candidate.outcome;
    text +=
        fmt::format("{:>3}{:>8}{:>#11.5g}{}{:>7.1f}{:>8.1f}   {:<30}{}\n", ++place,
                    candidate.layout.gpus, outcome.step_time.value,
                    has_value ? fmt::format("{:>13}", value_text(options, candidate.value)) : "",
                    100 * outcome.model_flops_utilization, outcome.memory_peak.value * 1e-9,
                    fmt::format("{} {:.1f} %", outcome.limit, 100 * outcome.limit_share),
                    text_of(candidate.layout));
  }
  return text;
}

Json layout_json(const LayoutChoice& layout) {
  return {{"gpus", layout.gpus},
          {"tensor", layout.tensor},
          {"pipeline", layout.pipeline},
          {"data", layout.data()},
          {"context", layout.context},
          {"expert", layout.expert},
          {"micro_batch", layout.micro_batch},
          {"schedule", layout.schedule},
          {"virtual_stages", layout.virtual_stages},
          {"recompute", recompute_policy(layout.recompute).name},
          {"zero", layout.zero},
          {"offload_optimizer", layout.offload != OffloadChoice::none},
          {"offload_parameters", layout.offload == OffloadChoice::optimizer_and_parameters}};
}

Json candidate_json(const SearchSpace& space, const SearchOptions& options,
                    const RankedLayout& candidate) {
  const LayoutOutcome& outcome = candidate.outcome;
  Json json = {{"layout", layout_json(candidate.layout)},
               {"sets", space.sets_of(candidate.layout)},
               {"step_time_s", outcome.step_time.value},
               {"value", candidate.value},
               {"time_bound_s", candidate.time_bound.value},
               {"tokens_per_s", outcome.tokens_per_second},
               {"mfu", outcome.model_flops_utilization},
               {"memory_peak_bytes", outcome.memory_peak.value},
               {"memory_bound_bytes", candidate.memory_bound.value},
               {"memory_capacity_bytes", outcome.memory_capacity.value},
               {"limit", outcome.limit},
               {"limit_share", outcome.limit_share}};
  if (options.price) {
    json["cost_per_step"] = cost_of(options, candidate.layout.gpus, outcome.step_time);
  }
  return json;
}

Json fates_json(const Fates& fates) {
  return {{"inadmissible", fates.inadmissible},
          {"same_program", fates.same_program},
          {"too_large", fates.too_large},
          {"too_slow", fates.too_slow},
          {"fits", fates.fits},
          {"does_not_fit", fates.does_not_fit},
          {"refused", fates.refused},
          {"unseen", fates.unseen}};
}

}  // namespace

std::string search_text(const SearchSpace& space, const SearchOptions& options,
                        const SearchResult& result) {
  const Run& run = space.base();
  std::string text = fmt::format("{} on {}: {} layouts\n", run.model.name, run.cluster.name,
                                 grouped(result.fates.total()));
  for (const std::string& line : space.describe()) {
    text += "  " + line + "\n";
  }
  text += "\n" + fates_text(result.fates) + "\n" + proof_text(options, result);
  if (!result.top.empty()) {
    text += "\n" + list_text(options, result) +
            fmt::format("\nthe first of them: --set {}\n",
                        fmt::join(space.sets_of(result.top.front().layout), " --set "));
  }
  return text;
}

std::string search_json(const SearchSpace& space, const SearchOptions& options,
                        const SearchResult& result) {
  Json json = {{"model", space.base().model.name},
               {"platform", space.base().cluster.name},
               {"objective", name_of(options.objective)},
               {"space", result.fates.total()},
               {"limits", space.describe()},
               {"fates", fates_json(result.fates)},
               {"proved", result.is_proved},
               {"best_remaining", nullptr},
               {"top", Json::array()}};
  if (result.best_remaining) {
    json["best_remaining"] = *result.best_remaining;
  }
  for (const RankedLayout& candidate : result.top) {
    json["top"].push_back(candidate_json(space, options, candidate));
  }
  return json.dump(2) + "\n";
}

std::string search_csv(const SearchSpace& space, const SearchOptions& options,
                       const std::vector<RankedLayout>& candidates) {
  std::string text =
      "gpus,step_time_s,value,cost_per_step,mfu,memory_peak_bytes,memory_headroom,limit,"
      "limit_share,tensor,pipeline,data,context,expert,micro_batch,schedule,virtual_stages,"
      "recompute,zero,offload_optimizer,offload_parameters,sets\n";
  for (const RankedLayout& candidate : candidates) {
    const LayoutChoice& layout = candidate.layout;
    const LayoutOutcome& outcome = candidate.outcome;
    text += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", layout.gpus,
        outcome.step_time.value, candidate.value,
        options.price ? fmt::format("{}", cost_of(options, layout.gpus, outcome.step_time)) : "",
        outcome.model_flops_utilization, outcome.memory_peak.value,
        1 - outcome.memory_peak / outcome.memory_capacity, outcome.limit, outcome.limit_share,
        layout.tensor, layout.pipeline, layout.data(), layout.context, layout.expert,
        layout.micro_batch, layout.schedule, layout.virtual_stages,
        recompute_policy(layout.recompute).name, layout.zero, layout.offload != OffloadChoice::none,
        layout.offload == OffloadChoice::optimizer_and_parameters,
        fmt::join(space.sets_of(layout), " "));
  }
  return text;
}

}  // namespace foretrain
