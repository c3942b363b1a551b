// What --live found: measured beside predicted, and what that comes to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/core/units.hpp"
#include "validation/live/measurement.hpp"
#include "validation/live/settings.hpp"
#include "validation/statistics.hpp"

namespace foretrain::live {

struct LiveResult {
  Setting setting;
  Seconds predicted;
  std::optional<StepMeasurement> measured;  ///< nothing: it failed
  std::string failure;

  /// predicted / measured - 1. REQUIRES: it was measured.
  [[nodiscard]] double error() const { return predicted / measured->median - 1; }
};

/// The rate up to which int8 gradients pay for a model.
struct BreakEven {
  std::string model;
  std::optional<BytesPerSecond> measured;
  std::optional<BytesPerSecond> predicted;
  BytesPerSecond fastest;  ///< link that was tried; without a break-even it pays on that one, too,
                           ///< or on none
  bool pays_measured = false;  ///< on the fastest link
  bool pays_predicted = false;
  /// predicted / measured - 1, where both are there.
  [[nodiscard]] std::optional<double> error() const;
};

/// Errors and order of some settings.
struct LiveErrors {
  validation::ErrorSummary times;
  std::optional<double> tau;
  double mean_spread = 0;  ///< of repeated measurements, (slowest - fastest) / median
};

struct LiveReport {
  std::string hardware;
  std::string communication;
  std::string calibration;          ///< how far off the fits are, in words
  std::vector<LiveResult> results;  ///< settings first, then stragglers
  std::vector<BreakEven> break_evens;

  /// Of those that were measured, stragglers left out: all, or at one rate.
  [[nodiscard]] LiveErrors errors(std::optional<BytesPerSecond> rate = std::nullopt) const;
  [[nodiscard]] std::vector<BytesPerSecond> rates() const;  ///< ascending
  [[nodiscard]] bool has_failure() const;
};

/// Of every model that was run with ddp and ddp-int8.
[[nodiscard]] std::vector<BreakEven> break_evens_of(const std::vector<LiveResult>& results);

[[nodiscard]] std::string text_of(const LiveReport& report);
/// Times in seconds, rates in bytes per second, errors as fractions.
[[nodiscard]] std::string json_of(const LiveReport& report);
/// One line for each setting.
[[nodiscard]] std::string csv_of(const LiveReport& report);

}  // namespace foretrain::live
