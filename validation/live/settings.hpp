// What --live trains and predicts: models, strategies and link rates, as run files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/core/units.hpp"
#include "validation/live/benchmarks.hpp"

namespace foretrain::live {

/// Of all models.
inline constexpr std::int64_t kHeadDim = 64;

/// A GPT that a step of two cores takes a fraction of a second for.
struct LiveModel {
  std::string_view name;
  std::int64_t layers = 1;
  std::int64_t hidden = 64;
  std::int64_t sequences = 2;           ///< of a step of all ranks
  std::int64_t pipeline_sequences = 1;  ///< of a micro-batch in a pipeline
};
[[nodiscard]] const std::vector<LiveModel>& live_models();

/// A strategy as assignments to the plain run file, which is DDP.
struct LiveStrategy {
  std::string_view name;
  std::string_view method;  ///< that compresses gradients; empty: none
  std::vector<std::string_view> sets;
};
[[nodiscard]] const std::vector<LiveStrategy>& live_strategies();
/// REQUIRES: there is one of that name.
[[nodiscard]] const LiveStrategy& live_strategy(std::string_view name);

/// How the other rank is burdened.
enum class Straggler : std::uint8_t { none, half };

/// One thing to predict and to measure.
struct Setting {
  const LiveModel* model = nullptr;
  const LiveStrategy* strategy = nullptr;
  BytesPerSecond rate;
  Straggler straggler = Straggler::none;

  /// "small ddp 400Mbit": of its files too, with dashes.
  [[nodiscard]] std::string id() const;
};

/// Where links cannot be shaped, ranks talk over loopback, at its own rate.
inline constexpr BytesPerSecond kLoopback{0};
/// A rate in tc's words, "400Mbit", rounded to whole Mbit/s; or "loopback".
[[nodiscard]] std::string tc_rate(BytesPerSecond rate);
/// The file of the platform with links of this rate: "cluster-400Mbit.toml".
[[nodiscard]] std::string cluster_file(BytesPerSecond rate);

/// The run file, for a folder with that platform and "stack.toml". What coding costs is taken from
/// `codecs` where they have the setting's method.
[[nodiscard]] std::string run_file(const Setting& setting, const std::vector<CodecRate>& codecs);
/// One rank's share of the model's DDP step, on one rank.
[[nodiscard]] std::string lone_run_file(const LiveModel& model, BytesPerSecond rate);

/// What was asked for: two sizes at three rates, or what CI has the time for.
struct Selection {
  std::vector<BytesPerSecond> rates;
  bool is_short = false;
};
/// All pairs of models and strategies at all rates, models first; then a straggler per model at the
/// middle rate.
[[nodiscard]] std::vector<Setting> settings_of(const Selection& selection);
/// The models of a selection.
[[nodiscard]] std::vector<const LiveModel*> models_of(const Selection& selection);

}  // namespace foretrain::live
