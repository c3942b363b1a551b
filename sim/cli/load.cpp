// What commands share: finding the data files, reading a run, showing progress.
// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <ostream>

#include "sim/cli/cli.hpp"

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

void add_run_options(CLI::App& app, RunOptions& options) {
  app.add_option("run", options.file, "Run file (TOML)")->required();
  app.add_option("--set", options.sets, "Override a key, such as parallel.tensor=4")
      ->take_all()
      ->expected(1)
      ->trigger_on_parse(false);
}

void add_format_option(CLI::App& app, std::string& format) {
  app.add_option("--format", format, "text, json or csv")
      ->check(CLI::IsMember({"text", "json", "csv"}))
      ->capture_default_str();
}

void load_run(const RunOptions& options, LoadedRun& loaded) {
  config::Value root =
      config::parse_toml(loaded.sources, options.file, config::read_file(options.file));
  for (const std::string& assignment : options.sets) {
    config::apply_set(loaded.sources, root, assignment);
  }
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  const std::string directory = fs::path(options.file).parent_path().string();
  loaded.run = resolve(file, loaded.sources, find_catalogue(), directory);
}

Progress progress_on(Console& console) {
  using Clock = std::chrono::steady_clock;
  struct State {
    Clock::time_point told = Clock::now();
    std::size_t calls = 0;
  };
  auto state = std::make_shared<State>();
  return [&console, state](Seconds now) {
    constexpr std::size_t kCallsPerLook = 4096;  // a look at the clock costs more than an event
    if (++state->calls % kCallsPerLook != 0 || Clock::now() - state->told < std::chrono::seconds(1)) {
      return;
    }
    state->told = Clock::now();
    console.talk << (console.is_talk_terminal ? "\r" : "") << "simulated " << now.value << " s"
                 << (console.is_talk_terminal ? "   " : "\n") << std::flush;
  };
}

}  // namespace foretrain::cli
