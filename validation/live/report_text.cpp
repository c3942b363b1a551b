// The report for people.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include <fmt/format.h>

#include "validation/live/report.hpp"

namespace foretrain::live {
namespace {

std::string seconds(Seconds time) { return fmt::format("{:.1f} ms", 1e3 * time.value); }

std::string result_lines(const LiveReport& report, Straggler straggler) {
  std::string text;
  for (const LiveResult& result : report.results) {
    if (result.setting.straggler != straggler) {
      continue;
    }
    const std::string name = fmt::format("  {:<36} ", result.setting.id());
    if (!result.measured) {
      text += fmt::format("{}{:>12} {:>9} {:>12}\n", name, "failed", "", seconds(result.predicted));
      continue;
    }
    text += fmt::format("{}{:>12} {:>9.1f} {:>12} {:>+9.1f}\n", name,
                        seconds(result.measured->median), 100 * result.measured->spread(),
                        seconds(result.predicted), 100 * result.error());
  }
  return text;
}

std::string errors_line(const std::string& name, const LiveErrors& errors) {
  return fmt::format("  {:<12} {:>4} {:>8.1f} {:>8.1f} {:>+8.1f} {:>+8.1f} {:>9.1f} {:>6}\n", name,
                     errors.times.count, 100 * errors.times.mean_absolute,
                     100 * errors.times.median_absolute, 100 * errors.times.bias,
                     100 * errors.times.worst, 100 * errors.mean_spread,
                     errors.tau ? fmt::format("{:.2f}", *errors.tau) : "-");
}

std::string break_even_text(const std::optional<BytesPerSecond>& rate, BytesPerSecond fastest,
                            bool pays) {
  const auto megabits = [](BytesPerSecond one) { return one.value * 8 / 1e6; };
  if (rate) {
    return fmt::format("{:.0f} Mbit/s", megabits(*rate));
  }
  return pays ? fmt::format("over {:.0f} Mbit/s", megabits(fastest)) : "none that was tried";
}

std::string break_even_lines(const LiveReport& report) {
  std::string text;
  for (const BreakEven& one : report.break_evens) {
    text += fmt::format("  {:<12} measured {:>19}   predicted {:>19}   {}\n", one.model,
                        break_even_text(one.measured, one.fastest, one.pays_measured),
                        break_even_text(one.predicted, one.fastest, one.pays_predicted),
                        one.error() ? fmt::format("{:+.1f} %", 100 * *one.error()) : "-");
  }
  return text;
}

std::string failures(const LiveReport& report) {
  std::string text;
  for (const LiveResult& result : report.results) {
    if (!result.measured) {
      text += fmt::format("\n{}: {}\n", result.setting.id(), result.failure);
    }
  }
  return text;
}

}  // namespace

std::string text_of(const LiveReport& report) {
  const std::string columns = fmt::format("  {:<36} {:>12} {:>9} {:>12} {:>9}\n", "setting",
                                          "measured", "spread %", "predicted", "error %");
  std::string text = fmt::format(
      "{}\n{}\n{}\nmedian steps beside predictions made before; spread is slowest - fastest\n{}",
      report.hardware, report.communication, report.calibration, columns);
  text += result_lines(report, Straggler::none);
  text += fmt::format("\n  {:<12} {:>4} {:>8} {:>8} {:>8} {:>8} {:>9} {:>6}\n", "link rate", "n",
                      "MAPE %", "median", "bias", "worst", "spread", "tau");
  for (const BytesPerSecond rate : report.rates()) {
    const LiveErrors errors = report.errors(rate);
    if (errors.times.count > 0) {
      text += errors_line(tc_rate(rate), errors);
    }
  }
  text += errors_line("all", report.errors());
  if (!report.break_evens.empty()) {
    text += "\nint8 gradients pay up to a link rate of\n" + break_even_lines(report);
  }
  const std::string stragglers = result_lines(report, Straggler::half);
  if (!stragglers.empty()) {
    text += "\nanother program takes half of rank 1's core\n" + columns + stragglers;
  }
  return text + failures(report);
}

}  // namespace foretrain::live
