// SPDX-License-Identifier: Apache-2.0
#include "validation/live/live.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "validation/live/predict.hpp"
#include "validation/live/process.hpp"

namespace foretrain::live {
namespace {

// Of measuring one setting: steps enough that a median means something, within a few seconds.
struct Effort {
  double seconds;
  double least;
  double most;
};
constexpr Effort kFull = {3, 3, 9};
constexpr Effort kShort = {1.5, 3, 5};
constexpr int kWarmUp = 2;

// Rates about the predicted break-even, where those of the selection are further away than that.
constexpr double kAbout = 1.25;
// Where compression pays at all of them: as much as two cores can send and receive, about.
constexpr BytesPerSecond kFastest{1e9};

class Validator {
 public:
  Validator(const LiveOptions& options, const Tell& tell) : options_(options), tell_(tell) {}

  LiveReport run() {
    check_tools(options_.tools);
    selection_ = options_.selection;
    if (!can_shape_links(options_.tools)) {
      selection_.rates = {kLoopback};
    }
    calibration_ =
        calibrate(options_.tools, selection_, options_.folder, options_.catalogue, tell_);
    predict_all(settings_of(selection_));
    if (!selection_.is_short) {
      predict_all(settings_about_break_even());
    }
    write_text(options_.folder + "/predictions.csv", csv_of(report_));
    for (std::size_t i = 0; i < report_.results.size(); ++i) {
      tell_(fmt::format("measuring {} of {}: {}", i + 1, report_.results.size(),
                        report_.results[i].setting.id()));
      measure(report_.results[i]);
    }
    finish();
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::string file(const Setting& setting, const std::string& suffix) const {
    std::string name = setting.id();
    std::replace(name.begin(), name.end(), ' ', '-');
    return options_.folder + "/" + name + suffix;
  }

  void predict_all(const std::vector<Setting>& settings) {
    std::vector<RunToPredict> runs;
    runs.reserve(settings.size());
    for (const Setting& setting : settings) {
      write_text(file(setting, ".toml"), run_file(setting, calibration_.codecs));
      runs.push_back({file(setting, ".toml"), {}});
      if (setting.straggler == Straggler::half) {
        runs.back().sets.emplace_back("variation.gpus=[{node=1,speed=0.5}]");
      }
    }
    const std::vector<Seconds> times = predict(runs, options_.catalogue);
    for (std::size_t i = 0; i < settings.size(); ++i) {
      report_.results.push_back({settings[i], times[i], std::nullopt, ""});
    }
  }

  // Of the predictions alone.
  [[nodiscard]] std::vector<Setting> settings_about_break_even() const {
    std::vector<LiveResult> as_predicted = report_.results;
    for (LiveResult& result : as_predicted) {
      result.measured =
          StepMeasurement{result.predicted, result.predicted, result.predicted, 1, "", ""};
    }
    std::vector<Setting> more;
    for (const BreakEven& one : break_evens_of(as_predicted)) {
      if (!one.predicted) {
        if (one.pays_predicted) {
          add_pair(one.model, kFastest, more);
        }
        continue;
      }
      for (const double factor : {1 / kAbout, kAbout}) {
        add_pair(one.model, *one.predicted * factor, more);
      }
    }
    return more;
  }

  void add_pair(const std::string& name, BytesPerSecond wanted, std::vector<Setting>& more) const {
    const double whole = std::round(wanted.value * 8e-6);
    const BytesPerSecond rate(whole / 8e-6);
    const bool is_near =
        std::any_of(selection_.rates.begin(), selection_.rates.end(), [&](BytesPerSecond other) {
          return std::abs(std::log(other / rate)) < std::log(kAbout) / 2;
        });
    if (is_near) {
      return;
    }
    add_rate(rate, selection_.rates, options_.folder);
    for (const LiveModel& model : live_models()) {
      if (model.name == name) {
        more.push_back({&model, &live_strategy("ddp"), rate, Straggler::none});
        more.push_back({&model, &live_strategy("ddp-int8"), rate, Straggler::none});
      }
    }
  }

  void measure(LiveResult& result) {
    const Effort& effort = selection_.is_short ? kShort : kFull;
    const double repeats =
        std::clamp(std::round(effort.seconds / result.predicted.value), effort.least, effort.most);
    const std::string output = file(result.setting, ".measured.toml");
    const Launch launch = {
        result.setting.rate,
        result.setting.straggler,
        false,
        {"train", file(result.setting, ".toml"), "--warm-up", std::to_string(kWarmUp), "--repeats",
         fmt::format("{:.0f}", repeats), "--output", output}};
    // Ten times as long as predicted is a failure, and so is a trainer that waits for ever.
    const Seconds limit = Seconds(20) + result.predicted * (10 * (repeats + kWarmUp));
    try {
      (void)run_checked("the trainer", command_of(options_.tools, launch), limit);
      config::Sources sources;
      result.measured = read_measurement(sources, output);
    } catch (const ProcessError& error) {
      result.failure = error.what();
    } catch (const ConfigError& error) {
      result.failure = error.what();
    }
    if (result.measured) {
      report_.hardware = result.measured->hardware;
      report_.communication = result.measured->communication;
    }
  }

  void finish() {
    std::stable_sort(report_.results.begin(), report_.results.end(),
                     [](const LiveResult& a, const LiveResult& b) {
                       return a.setting.straggler < b.setting.straggler;
                     });
    report_.calibration = calibration_.words;
    report_.break_evens = break_evens_of(report_.results);
  }

  const LiveOptions& options_;
  const Tell& tell_;
  Selection selection_;
  Calibration calibration_;
  LiveReport report_;
};

}  // namespace

LiveReport validate_live(const LiveOptions& options, const Tell& tell) {
  return Validator(options, tell).run();
}

}  // namespace foretrain::live
