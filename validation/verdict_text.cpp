// The verdict for people, and the cases as a table for programs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/core/csv.hpp"
#include "validation/verdict.hpp"

namespace foretrain::validation {
namespace {

std::string percent(double fraction) { return fmt::format("{:+.1f}", 100 * fraction); }
std::string magnitude(double fraction) { return fmt::format("{:.1f}", 100 * fraction); }

std::string seconds(double time) {
  return time < 0.1 ? fmt::format("{:.4g} ms", 1e3 * time) : fmt::format("{:.4g} s", time);
}

std::vector<const Outcome*> timed_worst_first(const std::vector<Outcome>& outcomes,
                                              const std::string& group) {
  std::vector<const Outcome*> found;
  for (const Outcome& outcome : outcomes) {
    if (outcome.time && outcome.group == group) {
      found.push_back(&outcome);
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Outcome* a, const Outcome* b) {
    return std::abs(a->time->error()) > std::abs(b->time->error());
  });
  return found;
}

std::string cases_text(const std::vector<Outcome>& outcomes, const Verdict& verdict,
                       std::size_t worst) {
  std::string text;
  for (const SourceVerdict& source : verdict.sources) {
    const auto cases = timed_worst_first(outcomes, source.group);
    if (cases.empty() || worst == 0) {
      continue;
    }
    text += fmt::format("{}\n  {:<34} {:>10} {:>10} {:>8} {:>8}\n", source.group, "case",
                        "measured", "predicted", "error %", "naive %");
    for (std::size_t i = 0; i < std::min(worst, cases.size()); ++i) {
      const TimeResult& time = *cases[i]->time;
      text +=
          fmt::format("  {:<34} {:>10} {:>10} {:>8} {:>8}{}\n", cases[i]->id,
                      seconds(time.measured), seconds(time.predicted), percent(time.error()),
                      percent(time.naive_error()), cases[i]->is_layer_time ? "   one layer" : "");
    }
    if (worst < cases.size()) {
      text += fmt::format("  ... {} more\n", cases.size() - worst);
    }
  }
  return text.empty() ? text : text + '\n';
}

std::string source_line(const std::string& name, const SourceVerdict& source) {
  const ErrorSummary& time = source.time;
  const bool is_ranked = source.sweeps > 0;
  return fmt::format("  {:<28} {:>4} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>6} {:>8}\n", name,
                     time.count, magnitude(time.mean_absolute), magnitude(time.median_absolute),
                     magnitude(time.p90_absolute), percent(time.bias), percent(time.worst),
                     magnitude(source.naive.mean_absolute),
                     is_ranked ? fmt::format("{:.2f}", source.mean_tau) : "-",
                     is_ranked ? magnitude(source.mean_regret) : "-");
}

std::string sources_text(const Verdict& verdict) {
  if (verdict.all.time.count == 0) {
    return "";
  }
  std::string text = fmt::format(
      "times: predicted / measured - 1, in %; naive is half of peak\n"
      "  {:<28} {:>4} {:>6} {:>6} {:>6} {:>7} {:>7} {:>7} {:>6} {:>8}\n",
      "source", "n", "MAPE", "median", "p90", "bias", "worst", "naive", "tau", "regret %");
  bool is_fitted = false;
  for (const SourceVerdict& source : verdict.sources) {
    if (source.time.count > 0) {
      text += source_line(source.group + (source.fitted.empty() ? "" : " *"), source);
      is_fitted = is_fitted || !source.fitted.empty();
    }
  }
  text += source_line("all", verdict.all);
  const double margin = verdict.all.naive.mean_absolute - verdict.all.time.mean_absolute;
  text += is_fitted ? "  * some numbers of its stack or platform were fitted on this source\n" : "";
  return text + fmt::format("  half of peak misses by {} points more than the prediction\n\n",
                            magnitude(margin));
}

std::string memory_line(const std::string& name, const char* kind, const ErrorSummary& memory) {
  if (memory.count == 0) {
    return "";
  }
  return fmt::format("  {:<28} {:<9} {:>4} {:>6} {:>6} {:>7} {:>7}\n", name, kind, memory.count,
                     magnitude(memory.mean_absolute), magnitude(memory.p90_absolute),
                     percent(memory.bias), percent(memory.worst));
}

std::string memory_text(const Verdict& verdict) {
  if (verdict.all.allocator_memory.count + verdict.all.device_memory.count == 0) {
    return "";
  }
  std::string text = fmt::format(
      "peak memory: predicted / measured - 1, in %; allocator is without the CUDA context\n"
      "  {:<28} {:<9} {:>4} {:>6} {:>6} {:>7} {:>7}\n",
      "source", "measured", "n", "MAPE", "p90", "bias", "worst");
  for (const SourceVerdict& source : verdict.sources) {
    text += memory_line(source.group, "allocator", source.allocator_memory);
    text += memory_line(source.group, "device", source.device_memory);
  }
  text += memory_line("all", "allocator", verdict.all.allocator_memory);
  return text + memory_line("all", "device", verdict.all.device_memory) + '\n';
}

std::string fit_line(const std::string& name, const FitVerdict& fit) {
  const std::size_t decided = fit.right + fit.wrong;
  return fmt::format("  {:<28} {:>5} {:>6} {:>6} {:>6} {:>10} {:>10}\n", name, fit.count(),
                     fit.out_of_memory, fit.right, fit.wrong, fit.uncertain,
                     decided == 0 ? "-"
                                  : fmt::format("{:.1f}", 100.0 * static_cast<double>(fit.right) /
                                                              static_cast<double>(decided)));
}

std::string fits_text(const Verdict& verdict) {
  if (verdict.all.fit.out_of_memory == 0) {
    return "";
  }
  std::string text = fmt::format(
      "fits in memory: right or wrong outside {} to {} of the capacity, uncertain within\n"
      "  {:<28} {:>5} {:>6} {:>6} {:>6} {:>10} {:>10}\n",
      kSurelyFits, kSurelyFails, "source", "runs", "failed", "right", "wrong", "uncertain",
      "right %");
  for (const SourceVerdict& source : verdict.sources) {
    if (source.fit.out_of_memory > 0) {
      text += fit_line(source.group, source.fit);
    }
  }
  return text + fit_line("all", verdict.all.fit) + '\n';
}

std::string refusals_text(const std::vector<Outcome>& outcomes, const Verdict& verdict) {
  if (verdict.refusals.empty()) {
    return "";
  }
  std::size_t count = 0;
  std::string text;
  for (const auto& [reason, cases] : verdict.refusals) {
    count += cases;
    text += fmt::format("  {:>4}  {}\n", cases, reason);
  }
  return fmt::format("not predicted: {} of {} cases\n", count, outcomes.size()) + text;
}

}  // namespace

std::string verdict_text(const std::vector<Outcome>& outcomes, const Verdict& verdict,
                         std::size_t worst) {
  return cases_text(outcomes, verdict, worst) + sources_text(verdict) + memory_text(verdict) +
         fits_text(verdict) + refusals_text(outcomes, verdict);
}

std::string outcomes_csv(const std::vector<Outcome>& outcomes) {
  std::string text =
      "id,group,sweep,quality,kind,gpus,time_of,measured_s,predicted_s,error,naive_error,"
      "measured_memory_bytes,predicted_memory_bytes,memory_kind,fits,share_of_capacity,refusal\n";
  for (const Outcome& outcome : outcomes) {
    text += fmt::format("{},{},{},{},{},{},", csv_cell(outcome.id), csv_cell(outcome.group),
                        csv_cell(outcome.sweep), outcome.quality, outcome.kind, outcome.gpus);
    if (outcome.time) {
      text += fmt::format("{},{},{},{},{},", outcome.is_layer_time ? "layer" : "step",
                          outcome.time->measured, outcome.time->predicted, outcome.time->error(),
                          outcome.time->naive_error());
    } else {
      text += ",,,,,";
    }
    text += outcome.memory ? fmt::format("{:.0f},{:.0f},{},", outcome.memory->measured,
                                         outcome.memory->predicted,
                                         outcome.memory->is_allocator ? "allocator" : "device")
                           : ",,,";
    text += outcome.fit ? fmt::format("{},{},", outcome.fit->fits, outcome.fit->share) : ",,";
    text += csv_cell(outcome.refusal) + '\n';
  }
  return text;
}

}  // namespace foretrain::validation
