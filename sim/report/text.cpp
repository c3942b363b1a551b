// Predictions as text for people: the verdict, where the time goes, what fills the memory.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/report/prediction.hpp"

namespace foretrain {
namespace {

constexpr std::size_t kBarWidth = 30;

std::string bar(double share) {
  const auto length = static_cast<std::size_t>(std::lround(share * kBarWidth));
  return std::string(std::min(length, kBarWidth), '#');
}

std::string row(std::string_view group, std::string_view name, Picoseconds time, Picoseconds step) {
  const double share = time.seconds() / step.seconds();
  std::string line = fmt::format("  {:<9} {:<18} {:>10.4f}  {:>5.1f} %  {}", group, name,
                                 time.seconds().value, 100 * share, bar(share));
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string breakdown_text(const Breakdown& parts) {
  std::string text = fmt::format("  {:<28} {:>10}   share\n", "mean over all GPUs", "seconds");
  text += row("compute", "forward, backward", parts.compute, parts.step);
  if (parts.recompute.count > 0) {
    text += row("", "recompute", parts.recompute, parts.step);
  }
  text += row("", "optimizer", parts.optimizer, parts.step);
  if (parts.compression.count > 0) {
    text += row("", "compression", parts.compression, parts.step);
  }
  std::string_view group = "exposed";
  for (const auto& [axis, time] : parts.exposed) {
    if (time.count > 0) {
      text += row(std::exchange(group, ""), axis, time, parts.step);
    }
  }
  text += row("idle", "pipeline bubble", parts.bubble, parts.step);
  text += row("", "host", parts.host, parts.step);
  return text + row("total", "", parts.total(), parts.step);
}

std::string comparison_text(const Comparison& comparison, bool is_last) {
  const auto error = [&](double value) { return 100 * (value / comparison.measured - 1); };
  return fmt::format(
             "{}: predicted {:.4g} {}, measured {:.4g} {} ({:+.1f} %); half of peak says {:.4g} "
             "({:+.1f} %)\n",
             comparison.quantity, comparison.predicted, comparison.unit, comparison.measured,
             comparison.unit, error(comparison.predicted), comparison.naive,
             error(comparison.naive)) +
         (is_last ? fmt::format("  measured by {}\n", comparison.source) : "");
}

std::string interval_text(const Interval& interval, Seconds predicted) {
  const std::string kind =
      interval.kind == "all" ? "of all kinds" : fmt::format("of this kind ({})", interval.kind);
  return fmt::format(
      "  {:.4g} to {:.4g} s: {} of {} published runs {}, from {} sources, fell within such a band\n"
      "  whose width came from the other sources{}\n",
      interval.low.value, interval.high.value, interval.within, interval.cases, kind,
      interval.sources,
      interval.low > predicted    ? "; such runs are slower than predicted, nearly all of them"
      : interval.high < predicted ? "; such runs are faster than predicted, nearly all of them"
                                  : "");
}

double gigabytes(Bytes bytes) { return bytes.value * 1e-9; }

}  // namespace

const RoleMemory& fullest_role(const std::vector<RoleMemory>& memory) {
  return *std::max_element(
      memory.begin(), memory.end(),
      [](const RoleMemory& a, const RoleMemory& b) { return a.used_share() < b.used_share(); });
}

bool Prediction::fits() const {
  return std::all_of(memory.begin(), memory.end(),
                     [](const RoleMemory& role) { return role.fits(); }) &&
         (!host || host->fits());
}

std::string memory_text(const Prediction& prediction) {
  std::string text = fmt::format("{:<10}", "GB per GPU");
  for (int i = 0; i < kNumMemoryClasses; ++i) {
    text += fmt::format(" {:>11}", name_of(static_cast<MemoryClass>(i)));
  }
  text += fmt::format(" {:>8} {:>8}\n", "peak", "of");
  for (const RoleMemory& role : prediction.memory) {
    text += fmt::format("{:<10}", role.role);
    for (const Bytes bytes : role.peak.held) {
      text += fmt::format(" {:>11.2f}", gigabytes(bytes));
    }
    text += fmt::format(" {:>8.2f} {:>8.2f}{}\n", gigabytes(role.peak.total()),
                        gigabytes(role.capacity), role.fits() ? "" : "  does not fit");
  }
  if (prediction.host) {
    const HostMemory& host = *prediction.host;
    text += fmt::format("host memory of a node: {:.2f} of {:.2f} GB{}\n", gigabytes(host.used),
                        gigabytes(host.capacity), host.fits() ? "" : "  does not fit");
  }
  for (const std::string& change : prediction.fitting) {
    text += change + "\n";
  }
  if (prediction.generation) {
    text += "\n" + to_text(*prediction.generation);
  }
  return text;
}

std::string to_text(const Prediction& prediction) {
  std::string text = prediction.title + "\n" + prediction.layout + "\n\n";
  text += fmt::format("step time {:>10.4f} s    tokens/s {:>12.0f}    tokens/s/GPU {:>9.1f}\n",
                      prediction.step_time.seconds().value, prediction.tokens_per_second,
                      prediction.tokens_per_second / prediction.num_gpus);
  if (prediction.interval) {
    text += interval_text(*prediction.interval, prediction.step_time.seconds());
  }
  text += fmt::format(
      "MFU {:>16.1f} %    HFU {:>15.1f} %    TFLOP/s/GPU {:>10.1f} model, {:.1f} with recompute\n",
      100 * prediction.model_flops_utilization, 100 * prediction.hardware_flops_utilization,
      prediction.model_flops_per_gpu.value * 1e-12,
      prediction.hardware_flops_per_gpu.value * 1e-12);
  if (prediction.training_time) {
    text += fmt::format("whole training {:.1f} days\n", prediction.training_time->value / 86400);
  }
  text += "\n" + breakdown_text(prediction.breakdown) + "\n" + memory_text(prediction) + "\n";
  for (const Comparison& comparison : prediction.comparisons) {
    text += comparison_text(comparison, &comparison == &prediction.comparisons.back());
  }
  if (prediction.comparisons.empty()) {
    text += fmt::format("half of peak would say {:.4f} s\n", prediction.naive_step_time.value);
  }
  text += prediction.simulation.lumping + "\n";
  for (const std::string& note : prediction.notes) {
    text += "note: " + note + "\n";
  }
  return text;
}

}  // namespace foretrain
