// foretrain validate --live: real steps of the trainer, and predictions held to them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/live.hpp"

#include <filesystem>
#include <ostream>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/config/quantity.hpp"
#include "sim/core/error.hpp"
#include "validation/live/live.hpp"
#include "validation/live/process.hpp"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

// From communication-bound to compute-bound.
const std::vector<std::string>& default_rates(bool is_short) {
  static const std::vector<std::string> kRates = {"200 Mb/s", "600 Mb/s", "2 Gb/s"};
  static const std::vector<std::string> kShortRates = {"300 Mb/s", "2 Gb/s"};
  return is_short ? kShortRates : kRates;
}

std::vector<BytesPerSecond> rates_of(const LiveCommand& options) {
  const std::vector<std::string>& texts =
      options.rates.empty() ? default_rates(options.is_short) : options.rates;
  std::vector<BytesPerSecond> rates;
  rates.reserve(texts.size());
  for (const std::string& text : texts) {
    const auto rate = config::parse_quantity<BytesPerSecond>(text);
    const bool is_good = rate && *rate >= BytesPerSecond(1e6 / 8) && *rate < BytesPerSecond(1e11);
    if (!is_good) {
      throw ConfigError({Diagnostic{
          "", 0, 0, "--rates", "expected a rate such as \"400 Mb/s\", got \"" + text + "\"", ""}});
    }
    rates.push_back(*rate);
  }
  std::sort(rates.begin(), rates.end());
  rates.erase(std::unique(rates.begin(), rates.end()), rates.end());
  return rates;
}

/// A folder that the user named, or one that is gone at the end.
class Folder {
 public:
  explicit Folder(const std::string& kept) : path_(kept), is_kept_(!kept.empty()) {
    if (!is_kept_) {
      path_ = (fs::temp_directory_path() / "foretrain-live-XXXXXX").string();
      if (::mkdtemp(path_.data()) == nullptr) {
        throw live::ProcessError("cannot make a folder like " + path_);
      }
      return;
    }
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) {
      throw ConfigError({Diagnostic{path_, 0, 0, "--keep", error.message(), ""}});
    }
  }
  ~Folder() {
    if (!is_kept_) {
      std::error_code ignored;
      fs::remove_all(path_, ignored);
    }
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool is_kept_;
};

std::string trainer_beside_this() {
  std::error_code unknown;
  const fs::path program = fs::read_symlink("/proc/self/exe", unknown);
  return (program.parent_path() / "foretrain_trainer").string();
}

int validate(const LiveCommand& command, const std::string& format, double tolerance,
             Console& console) {
  live::LiveOptions options;
  options.tools = {data_root() + "/validation/trainer/launch.sh",
                   command.trainer.empty() ? trainer_beside_this() : command.trainer};
  options.selection = {rates_of(command), command.is_short};
  options.catalogue = find_catalogue();
  live::check_tools(options.tools);
  const Folder folder(command.keep);
  options.folder = folder.path();
  const live::LiveReport report = live::validate_live(options, [&](const std::string& text) {
    console.talk << text << '\n' << std::flush;
  });
  if (format == "json") {
    console.out << live::json_of(report);
  } else if (format == "csv") {
    console.out << live::csv_of(report);
  } else {
    console.out << live::text_of(report);
  }
  const bool is_out = tolerance > 0 && report.errors().times.mean_absolute > tolerance / 100;
  return is_out || report.has_failure() ? kConditionFailed : kGood;
}

}  // namespace

void add_live_options(CLI::App& app, LiveCommand& options) {
  CLI::Option* live = app.add_flag(
      "--live", options.is_asked_for,
      "Measure this machine and train on it: real steps beside predictions made before");
  app.add_flag("--short", options.is_short, "Of --live: a few settings, in a minute")->needs(live);
  app.add_option("--trainer", options.trainer, "Of --live: the program foretrain_trainer")
      ->needs(live);
  app.add_option("--keep", options.keep, "Of --live: a folder for all that was written")
      ->needs(live);
  app.add_option("--rates", options.rates, "Of --live: link rates, such as \"400 Mb/s\"")
      ->needs(live);
}

int live_command(const LiveCommand& options, const std::string& format, double tolerance,
                 Console& console) {
  try {
    return validate(options, format, tolerance, console);
  } catch (const live::ProcessError& error) {
    console.talk << "error: " << error.what() << '\n';
    return kOurFault;
  }
}

}  // namespace foretrain::cli
