// The command line: one table of commands, data on one stream, talk on the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/engine/engine.hpp"
#include "sim/report/prediction.hpp"
#include "sim/study/goodput/reliability.hpp"
#include "strategies/plan.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): CLI11's name
class App;
class Option;
}  // namespace CLI

namespace foretrain::cli {

// Exit codes.
inline constexpr int kGood = 0;
inline constexpr int kOurFault = 1;
inline constexpr int kBadInput = 2;
inline constexpr int kConditionFailed =
    3;  ///< it ran, but does not fit in memory, or none could run

/// Where a command writes. Data goes to `out`, talk and progress to `talk`.
struct Console {
  std::ostream& out;
  std::ostream& talk;
  bool is_talk_terminal = false;
};

/// Adds a command's options to its CLI11 app and returns what runs it.
using AddCommand = std::function<int()> (*)(CLI::App& app, Console& console);

struct Command {
  std::string_view name;
  std::string_view sentence;
  AddCommand add;
};

/// All commands, in the order of the help text; the visible table is in commands.cpp.
[[nodiscard]] std::span<const Command> commands();

/// Parses and runs; returns the exit code. Never throws: mistakes are told on console.talk.
[[nodiscard]] int run(const std::vector<std::string>& arguments, Console& console);

// The implementations, one file each.
std::function<int()> add_simulate(CLI::App& app, Console& console);
std::function<int()> add_memory(CLI::App& app, Console& console);
std::function<int()> add_check(CLI::App& app, Console& console);
std::function<int()> add_explain(CLI::App& app, Console& console);
std::function<int()> add_list(CLI::App& app, Console& console);
std::function<int()> add_scale(CLI::App& app, Console& console);
std::function<int()> add_plan(CLI::App& app, Console& console);
std::function<int()> add_goodput(CLI::App& app, Console& console);
std::function<int()> add_sweep(CLI::App& app, Console& console);
std::function<int()> add_search(CLI::App& app, Console& console);
std::function<int()> add_compress(CLI::App& app, Console& console);
std::function<int()> add_validate(CLI::App& app, Console& console);
std::function<int()> add_collective(CLI::App& app, Console& console);
std::function<int()> add_calibrate(CLI::App& app, Console& console);

/// The options that name a run, shared by all commands that take one.
struct RunOptions {
  std::string file = {};
  std::vector<std::string> sets = {};
  std::string what_if = {};       ///< changes of hardware, made after the sets
  std::string more_what_if = {};  ///< those of a study, made after them
  std::string text = {};          ///< what is read instead of the file, if anything
};
void add_run_options(CLI::App& app, RunOptions& options);
/// --set and --what-if.
void add_change_options(CLI::App& app, RunOptions& options);
/// --set alone.
CLI::Option* add_set_option(CLI::App& app, RunOptions& options);

/// How the data is written: one of `formats`.
void add_format_option(CLI::App& app, std::string& format,
                       std::vector<std::string> formats = {"text", "json", "csv"});

/// A run with every text that was read for it.
struct LoadedRun {
  config::Sources sources;
  RunFile file;  ///< with all sets and changes
  Run run;
  std::optional<goodput::Reliability> reliability;  ///< where the file has such a table
  std::vector<std::string> changes;                 ///< what --what-if changed, for people
};
/// The run file's, or the usual one.
[[nodiscard]] goodput::Reliability reliability_of(LoadedRun& loaded);
/// The folder that a run's relative paths start from.
[[nodiscard]] std::string directory_of(const RunOptions& options);
/// What the run file, the sets and the changes of hardware say, before the files that they name are
/// read; `changes` is told what the latter changed. Throws ConfigError.
[[nodiscard]] RunFile read_run_file(const RunOptions& options, config::Sources& sources,
                                    std::vector<std::string>* changes = nullptr);
/// Reads the run file, applies the sets and changes of hardware, resolves. Throws ConfigError.
void load_run(const RunOptions& options, LoadedRun& loaded);

/// Error bars from the errors of published runs, where that data file is there.
void add_interval(const Run& run, Prediction& prediction);

/// The folder of the data files: $FORETRAIN_DATA, else beside the installed program, else the
/// sources that this program was built from.
[[nodiscard]] std::string data_root();
[[nodiscard]] Catalogue find_catalogue();
/// Of the failure rates that [reliability] of a run file may name.
[[nodiscard]] std::string reliability_folder();

/// A line on the console when a simulation takes longer than a second, at most once a second.
[[nodiscard]] Progress progress_on(Console& console);
/// Tells what it is given, likewise.
[[nodiscard]] std::function<void(const std::string&)> talk_on(Console& console);
/// The same for a study: how many of its `total` pieces ("sizes") are done; 0: it is not known how
/// many there will be.
[[nodiscard]] std::function<void(std::size_t)> pieces_done_on(Console& console, std::size_t total,
                                                              const std::string& pieces);

}  // namespace foretrain::cli
