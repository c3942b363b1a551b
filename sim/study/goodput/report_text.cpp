// The outcome of simulated runs for people: a screen on one size, or a row for each.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/study/amounts.hpp"
#include "sim/study/goodput/goodput.hpp"

namespace foretrain::goodput {
namespace {

constexpr double kDay = 86400;

/// "405.9 G": four significant digits and a decimal suffix.
std::string count_text(double count) {
  constexpr std::array<std::string_view, 6> kSuffixes = {"", " k", " M", " G", " T", " P"};
  std::size_t i = 0;
  while (count >= 999.95 && i + 1 < kSuffixes.size()) {
    count /= 1000;
    ++i;
  }
  return fmt::format("{:.4g}{}", count, kSuffixes[i]);
}

std::string days_text(Seconds time) { return fmt::format("{:.4g} days", time.value / kDay); }

// Hours beyond 90 minutes; a checkpoint every 4.2 min, a failure every 3.09 h.
std::string time_text(Seconds time) {
  if (time == kNever) {
    return "never";
  }
  return time.value >= 2 * kDay ? days_text(time) : config::show(time);
}

std::string size_text(const Size& size) {
  return fmt::format("{} node{} ({} GPUs)", size.nodes, size.nodes == 1 ? "" : "s", size.gpus);
}

std::string runs_text(const MonteCarlo& monte_carlo) {
  return fmt::format("{} run{}, seed {}", monte_carlo.runs, monte_carlo.runs == 1 ? "" : "s",
                     monte_carlo.seed);
}

std::string failures_text(const Outcome& outcome) {
  std::string kinds;
  for (std::size_t i = 0; i < kNumPartKinds; ++i) {
    if (outcome.failures_by_kind[i] > 0) {
      kinds += fmt::format("{}{} {:.4g}", kinds.empty() ? "" : ", ",
                           name_of(static_cast<PartKind>(i)), outcome.failures_by_kind[i]);
    }
  }
  const Estimate& failures = outcome.failures;
  std::string text =
      outcome.between_failures == kNever
          ? "nothing fails"
          : fmt::format("a failure every {}: {:.1f} +- {:.1f} in {} ({})",
                        time_text(outcome.between_failures), failures.mean, failures.half_width,
                        days_text(Seconds(outcome.wall.mean)), kinds);
  if (outcome.planned.mean > 0) {
    text += fmt::format("; {:.1f} planned", outcome.planned.mean);
  }
  return text + "\n";
}

std::string checkpoint_text(const Heading& heading, const Outcome& outcome) {
  const Checkpointing& plan = outcome.job.checkpointing;
  std::string size = config::show(outcome.size.checkpoint);
  if (!heading.is_checkpoint_given) {
    size += fmt::format(" = {} parameters x ({:.3g} + {:.4g}) B",
                        count_text(heading.checkpoint.parameters),
                        heading.checkpoint.parameter.value, heading.checkpoint.optimizer.value);
  }
  std::string text = fmt::format("checkpoint {}, written in {}", size, config::show(plan.write));
  if (plan.stall < plan.write) {
    text += fmt::format(", stalls {}", config::show(plan.stall));
  }
  return text + (outcome.interval
                     ? fmt::format(", every {} of work ({})\n", config::show(*outcome.interval),
                                   name_of(outcome.rule))
                     : ", none written\n");
}

std::string spares_text(const Job& job) {
  return fmt::format("{} spare node{}", job.spares, job.spares == 1 ? "" : "s");
}

// Of kinds that have their own.
std::string slow_detection_text(const Job& job) {
  std::string text;
  for (std::size_t i = 0; i < job.parts.size(); ++i) {
    if (job.parts[i].detection) {
      text += fmt::format(" ({} {})", name_of(static_cast<PartKind>(i)),
                          config::show(*job.parts[i].detection));
    }
  }
  return text;
}

std::string recovery_text(const Reliability& reliability, const Job& job) {
  std::string text = fmt::format("a failure is detected in {}{}, restart takes {} with reading; {}",
                                 config::show(job.detection), slow_detection_text(job),
                                 config::show(job.restart), spares_text(job));
  if (!job.shrunk_rates.empty()) {
    text += fmt::format(", or on with up to {} fewer", reliability.shrink);
  }
  return text + "\n";
}

std::string row_text(std::string_view name, const Estimate& share) {
  return fmt::format("{:<24} {:>8.3f}   {:>7.3f}   {:>7.2f} to {:>6.2f}\n", name, 100 * share.mean,
                     100 * share.half_width, 100 * share.low, 100 * share.high);
}

std::string shares_text(const Outcome& outcome) {
  std::string text = fmt::format("\n{:<24} {:>8}   {:>7}   {:>17}\n", "% of wall time", "mean",
                                 "+- 95 %", "nine runs in ten") +
                     row_text("effective training time", outcome.effective);
  for (std::size_t i = 0; i < kNumLosses; ++i) {
    if (outcome.lost[i].mean > 0) {
      text += row_text(fmt::format("  {}", name_of(static_cast<Loss>(i))), outcome.lost[i]);
    }
  }
  return text + "\n";
}

std::string price_text(const Reliability& reliability, const Outcome& outcome) {
  std::string text = fmt::format(
      "{} GPU-hours{}", count_text(outcome.gpu_hours),
      outcome.job.spares == 0 ? "" : fmt::format(", with those of {}", spares_text(outcome.job)));
  if (outcome.dollars) {
    text += fmt::format("; {} at ${:.2f}/h", show_money(*outcome.dollars), *reliability.price);
  }
  return text + "\n";
}

std::string product_text(const Heading& heading, const Reliability& reliability,
                         const Outcome& outcome) {
  const double scale = outcome.tokens.mean;
  std::string text = fmt::format("tokens per day           {} +- {}\n", count_text(scale),
                                 count_text(outcome.tokens.half_width));
  if (outcome.to_finish) {
    text += fmt::format("whole training           {} for {} tokens\n",
                        days_text(*outcome.to_finish), count_text(*heading.tokens));
  }
  text += "                         " + price_text(reliability, outcome);
  if (outcome.unfinished > 0) {
    text += fmt::format(
        "{:.0f} % of the runs were given up: they would take more than a hundred times their "
        "work\n",
        100 * outcome.unfinished);
  }
  return text;
}

std::string closed_text(const Outcome& outcome) {
  if (!outcome.closed) {
    return "";
  }
  const ClosedForms& closed = *outcome.closed;
  return fmt::format(
      "closed forms, {} per recovery and nothing else: {:.2f} % (Daly 2006), {:.2f} % (Kokolis et "
      "al. 2025)\nintervals: {} (Young 1974), {} (Daly 2006)\n",
      config::show(closed.recovery), 100 * closed.exact, 100 * closed.kokolis,
      config::show(closed.young), config::show(closed.daly));
}

std::string notes_text(const Heading& heading) {
  std::string text;
  for (const std::string& note : heading.notes) {
    text += fmt::format("note: {}\n", note);
  }
  return text;
}

std::string sources_text(const Reliability& reliability) {
  const std::vector<std::string> names = unmeasured(facts(reliability));
  return fmt::format("rates {}{}\n", reliability.rates,
                     names.empty() ? ""
                                   : fmt::format("; assumed or transferred: {} (--format json has "
                                                 "each number's source)",
                                                 fmt::join(names, ", ")));
}

}  // namespace

std::string goodput_text(const Heading& heading, const Reliability& reliability,
                         const Outcome& outcome) {
  return fmt::format("{}, {}\nstep {} ({}), {} tokens; {}\n\n", heading.title,
                     size_text(outcome.size), config::show(outcome.size.step_time),
                     heading.step_time_source, count_text(outcome.size.tokens_per_step),
                     runs_text(outcome.monte_carlo)) +
         failures_text(outcome) + checkpoint_text(heading, outcome) +
         recovery_text(reliability, outcome.job) + shares_text(outcome) +
         product_text(heading, reliability, outcome) + "\n" + closed_text(outcome) +
         sources_text(reliability) + notes_text(heading);
}

std::string goodput_table(const Heading& heading, const Reliability& reliability,
                          const std::vector<Outcome>& outcomes) {
  std::string text =
      fmt::format("{}, {}\n\n{:>6} {:>7} {:>10} {:>11} {:>10} {:>16} {:>10} {:>8} {:>9}{}\n",
                  heading.title, runs_text(outcomes.front().monte_carlo), "nodes", "GPUs", "step",
                  "fails every", "checkpoint", "effective, %", "tokens/day", "speed-up",
                  "GPU-hours", outcomes.front().to_finish ? "     days" : "");
  const Outcome& first = outcomes.front();
  for (const Outcome& outcome : outcomes) {
    text += fmt::format(
        "{:>6} {:>7} {:>10} {:>11} {:>10} {:>8.2f} +- {:<4.2f} {:>10} {:>8.3f} {:>9}",
        outcome.size.nodes, outcome.size.gpus, config::show(outcome.size.step_time),
        time_text(outcome.between_failures),
        outcome.interval ? config::show(*outcome.interval) : "-", 100 * outcome.effective.mean,
        100 * outcome.effective.half_width, count_text(outcome.tokens.mean),
        outcome.tokens.mean / first.tokens.mean, count_text(outcome.gpu_hours));
    text += outcome.to_finish ? fmt::format(" {:>8.4g}", outcome.to_finish->value / kDay) : "";
    text += outcome.unfinished > 0 ? fmt::format("   {:.0f} % given up\n", 100 * outcome.unfinished)
                                   : "\n";
  }
  text += "\n";
  for (std::size_t i = 1; i < outcomes.size(); ++i) {
    const double gpus =
        static_cast<double>(outcomes[i].size.gpus) / static_cast<double>(first.size.gpus);
    const double steps = (outcomes[i].size.tokens_per_step / outcomes[i].size.step_time.value) /
                         (first.size.tokens_per_step / first.size.step_time.value);
    text +=
        fmt::format("{:.3g} x the GPUs: the step alone {:.3f} x as fast, with failures {:.3f} x\n",
                    gpus, steps, outcomes[i].tokens.mean / first.tokens.mean);
  }
  return text + sources_text(reliability) + notes_text(heading);
}

}  // namespace foretrain::goodput
