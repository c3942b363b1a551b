// What commands share: finding the data files, reading a run, showing progress.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <ostream>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "sim/cli/cli.hpp"
#include "sim/study/what_if/what_if.hpp"
#include "validation/residuals.hpp"

namespace foretrain::cli {
namespace {

namespace fs = std::filesystem;

}  // namespace

std::string data_root() {
  if (const char* chosen = std::getenv("FORETRAIN_DATA")) {
    return chosen;
  }
  std::error_code unknown;
  const fs::path program = fs::read_symlink("/proc/self/exe", unknown);
  const fs::path installed = program.parent_path().parent_path() / "share" / "foretrain";
  if (!unknown && fs::is_directory(installed)) {
    return installed.string();
  }
  return FORETRAIN_DATA_DIR;
}

Catalogue find_catalogue() {
  const std::string root = data_root();
  return {root + "/models", root + "/platforms", root + "/strategies/stacks"};
}

std::string reliability_folder() { return data_root() + "/platforms/reliability"; }

void add_run_options(CLI::App& app, RunOptions& options) {
  app.add_option("run", options.file, "Run file (TOML)")->required();
  add_change_options(app, options);
}

void add_change_options(CLI::App& app, RunOptions& options) {
  (void)add_set_option(app, options);
  app.add_option("--what-if", options.what_if, what_if_help());
}

CLI::Option* add_set_option(CLI::App& app, RunOptions& options) {
  return app.add_option("--set", options.sets, "Override a key, such as parallel.tensor=4")
      ->take_all()
      ->expected(1)
      ->trigger_on_parse(false);
}

void add_format_option(CLI::App& app, std::string& format, std::vector<std::string> formats) {
  app.add_option("--format", format, "How to write the data")
      ->check(CLI::IsMember(std::move(formats)))
      ->capture_default_str();
}

std::string directory_of(const RunOptions& options) {
  return fs::path(options.file).parent_path().string();
}

RunFile read_run_file(const RunOptions& options, config::Sources& sources,
                      std::vector<std::string>* changes) {
  config::Value root = config::parse_toml(
      sources, options.file, options.text.empty() ? config::read_file(options.file) : options.text);
  for (const std::string& assignment : options.sets) {
    config::apply_set(sources, root, assignment);
  }
  const std::string directory = directory_of(options);
  for (const std::string& line : {options.what_if, options.more_what_if}) {
    if (!line.empty()) {
      auto more = apply_what_if(line, root, sources, find_catalogue(), directory);
      if (changes != nullptr) {
        std::move(more.begin(), more.end(), std::back_inserter(*changes));
      }
    }
  }
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  return file;
}

void load_run(const RunOptions& options, LoadedRun& loaded) {
  loaded.file = read_run_file(options, loaded.sources, &loaded.changes);
  const std::string directory = directory_of(options);
  loaded.run = resolve(loaded.file, loaded.sources, find_catalogue(), directory);
  if (loaded.file.reliability) {
    loaded.reliability = goodput::load_reliability(loaded.sources, loaded.file.reliability,
                                                   reliability_folder(), directory);
  }
}

goodput::Reliability reliability_of(LoadedRun& loaded) {
  return loaded.reliability
             ? *loaded.reliability
             : goodput::load_reliability(loaded.sources, std::nullopt, reliability_folder(), "");
}

// Error bars come from a data file that may not be there.
void add_interval(const Run& run, Prediction& prediction) {
  const std::string path = data_root() + "/validation/residuals.toml";
  if (fs::exists(path)) {
    config::Sources sources;
    prediction.interval = validation::interval_of(run, prediction.step_time.seconds(),
                                                  validation::load_residuals(sources, path));
  }
}

namespace {

/// Talks at most once a second, and not in the first.
class Ticker {
 public:
  explicit Ticker(Console& console) : console_(console) {}

  [[nodiscard]] bool is_due() const { return Clock::now() - told_ >= std::chrono::seconds(1); }
  void tell(const std::string& text) {
    told_ = Clock::now();
    console_.talk << (console_.is_talk_terminal ? "\r" : "") << text
                  << (console_.is_talk_terminal ? "   " : "\n") << std::flush;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Console& console_;
  Clock::time_point told_ = Clock::now();
};

}  // namespace

Progress progress_on(Console& console) {
  return [ticker = Ticker(console), calls = std::size_t{0}](Seconds now) mutable {
    constexpr std::size_t kCallsPerLook = 4096;  // a look at the clock costs more than an event
    if (++calls % kCallsPerLook == 0 && ticker.is_due()) {
      ticker.tell("simulated " + config::show(now));
    }
  };
}

std::function<void(const std::string&)> talk_on(Console& console) {
  return [ticker = Ticker(console)](const std::string& text) mutable {
    if (ticker.is_due()) {
      ticker.tell(text);
    }
  };
}

std::function<void(std::size_t)> pieces_done_on(Console& console, std::size_t total,
                                                const std::string& pieces) {
  return [ticker = Ticker(console), total, pieces](std::size_t done) mutable {
    if (ticker.is_due()) {
      ticker.tell(std::to_string(done) + (total > 0 ? " of " + std::to_string(total) : "") + " " +
                  pieces);
    }
  };
}

}  // namespace foretrain::cli
