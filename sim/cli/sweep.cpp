// foretrain sweep: every combination of values of any keys, in worker processes, kept in a journal.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/sweep.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/cli/sweep_points.hpp"
#include "sim/config/quantity.hpp"
#include "sim/core/error.hpp"
#include "sim/core/hash.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/sweep/emit.hpp"
#include "sim/study/sweep/result.hpp"

namespace foretrain::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kSignalled = 128;  // exit codes of interrupted programs start here, in shells

struct Telling {
  std::string format = "text";
  std::string by = "step_time";
  std::uint64_t best = 0;  // all of them
};

struct SweepArguments {
  RunOptions run;
  Telling telling;
  std::vector<std::string> varied;
  std::vector<std::string> zipped;
  std::string journal;
  std::string shard;
  std::string emit;
  std::uint64_t shards = 0;  // as many as seem right
  std::size_t jobs = 0;      // one for each core
  bool must_resume = false;
  bool is_quiet = false;
  // of the subcommands
  std::string merged;
  std::vector<std::string> parts;
  std::string exported;
};

constexpr std::array<std::pair<std::string_view, sweep::Measure>, 4> kMeasures = {{
    {"step_time", sweep::Measure::step_time},
    {"tokens_per_s", sweep::Measure::tokens_per_s},
    {"tokens_per_s_per_gpu", sweep::Measure::tokens_per_s_per_gpu},
    {"mfu", sweep::Measure::mfu},
}};

std::string table_of(const sweep::Journal& journal, const Telling& telling) {
  sweep::Selection selection;
  if (telling.best > 0) {
    selection.best = telling.best;
  }
  for (const auto& [name, measure] : kMeasures) {
    if (name == telling.by) {
      selection.by = measure;
    }
  }
  if (telling.format == "json") {
    return sweep_json(journal, selection);
  }
  return telling.format == "csv" ? sweep_csv(journal, selection) : sweep_text(journal, selection);
}

sweep::Identity identity_of(const RunOptions& run, const sweep::Grid& grid) {
  config::Sources sources;
  sources.add(run.file, config::read_file(run.file));
  for (const std::string& assignment : run.sets) {
    sources.add("--set", assignment);
  }
  sources.add("--what-if", run.what_if);
  const Provenance provenance = provenance_of(sources, data_root());
  return {grid.to_json(), run.file, provenance.config_hash, provenance.version};
}

/// In the current folder, with a name of its own for each sweep.
std::string default_journal(const RunOptions& run, const sweep::Grid& grid) {
  std::string what = grid.to_json();
  for (const std::string& assignment : run.sets) {
    what += '\0' + assignment;
  }
  what += run.what_if;
  return fmt::format("{}-{}.sqlite", std::filesystem::path(run.file).stem().string(),
                     hex(fnv1a_64(what)).substr(0, 8));
}

int emit(const SweepArguments& options, const sweep::Grid& grid, const std::string& journal,
         Console& console) {
  constexpr std::uint64_t kShards = 16;
  sweep::Distribution distribution;
  distribution.arguments = {"sweep", options.run.file};
  const auto add = [&](const std::string& option, const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      distribution.arguments.insert(distribution.arguments.end(), {option, value});
    }
  };
  add("--set", options.run.sets);
  if (!options.run.what_if.empty()) {
    add("--what-if", {options.run.what_if});
  }
  add("--vary", options.varied);
  add("--zip", options.zipped);
  distribution.journal = journal;
  distribution.num_points = grid.size();
  distribution.num_shards = std::min(grid.size(), options.shards > 0 ? options.shards : kShards);
  distribution.jobs = std::max<std::size_t>(1, options.jobs);
  console.out << (options.emit == "slurm" ? slurm_script(distribution)
                                          : parallel_line(distribution));
  return kGood;
}

/// "12 of 96 points, 4.2 points/s, 20 s left".
sweep::SweepProgress progress_of(Console& console) {
  return [talk = talk_on(console), begin = Clock::now()](const sweep::Tally& tally) {
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    const double rate = static_cast<double>(tally.computed) / seconds;
    const auto left = static_cast<double>(tally.total - tally.done());
    talk(fmt::format("{} of {} points, {:.1f} points/s, {} left", tally.done(), tally.total, rate,
                     rate > 0 ? config::show(Seconds(left / rate)) : "unknown time"));
  };
}

int code_of(const sweep::Tally& tally, const sweep::Journal& journal, bool is_shard) {
  if (tally.signal != 0) {
    return kSignalled + tally.signal;
  }
  if (tally.crashed > 0) {
    return kOurFault;
  }
  return is_shard || journal.counts().predicted > 0 ? kGood : kConditionFailed;
}

int sweep_command(const SweepArguments& options, Console& console) {
  const sweep::Grid grid = sweep::parse_grid(options.varied, options.zipped);
  const bool is_shard = !options.shard.empty();
  const sweep::Shard shard = is_shard ? sweep::parse_shard(options.shard) : sweep::Shard();
  check_sweep(options.run, grid);
  std::string path = options.journal.empty() ? default_journal(options.run, grid) : options.journal;
  if (!options.emit.empty()) {
    return emit(options, grid, path, console);
  }
  if (is_shard && options.journal.empty()) {
    path = sweep::shard_journal(path, std::to_string(shard.number), shard.count);
  }
  if (options.must_resume && !std::filesystem::exists(path)) {
    console.talk << "there is no " << path << " to go on with; the sweep starts anew\n";
  }
  sweep::Interrupt interrupt;
  sweep::Journal journal = sweep::Journal::open(path, identity_of(options.run, grid));
  if (journal.has_changed()) {
    console.talk << path << " is of another run file, --set, --what-if or foretrain: all points "
                 << "are computed again\n";
  }
  const std::size_t jobs =
      options.jobs > 0 ? options.jobs : std::max(1U, std::thread::hardware_concurrency());
  const sweep::Tally tally = run_sweep(
      grid, shard, journal, jobs,
      [&](const auto& assignments) { return prepare_point(options.run, assignments); }, interrupt,
      progress_of(console));
  if (tally.signal == 0 && !options.is_quiet) {
    console.out << table_of(journal, options.telling);
  }
  console.talk << fmt::format("{}{}{} of {} points are in {}, {} of them from before\n",
                              console.is_talk_terminal ? "\r" : "",
                              tally.signal == 0 ? "" : "interrupted: ", tally.done(), tally.total,
                              path, tally.known);
  if (tally.crashed > 0) {
    console.talk << tally.crashed << " points crashed; the same command tries them again\n";
  }
  return code_of(tally, journal, is_shard);
}

// What is still missing from a journal is not good enough for a merge, but no mistake either.
int tell_missing(const sweep::Journal& journal, Console& console) {
  const std::uint64_t total = sweep::grid_from_json(journal.identity().grid).size();
  const sweep::Counts counts = journal.counts();
  console.talk << fmt::format("{} of {} points are in {}\n", counts.all(), total, journal.path());
  return counts.all() == total && counts.crashed == 0 ? kGood : kConditionFailed;
}

int merge_command(const SweepArguments& options, Console& console) {
  return tell_missing(sweep::merge(options.merged, options.parts), console);
}

int export_command(const SweepArguments& options, Console& console) {
  const sweep::Journal journal = sweep::Journal::read(options.exported);
  console.out << table_of(journal, options.telling);
  (void)tell_missing(journal, console);
  return kGood;
}

void add_telling(CLI::App& app, Telling& telling) {
  std::vector<std::string> measures;
  measures.reserve(kMeasures.size());
  for (const auto& [name, measure] : kMeasures) {
    measures.emplace_back(name);
  }
  add_format_option(app, telling.format);
  app.add_option("--best", telling.best, "Only so many points of those that fit, the best first")
      ->check(CLI::PositiveNumber);
  app.add_option("--by", telling.by, "What the best have")
      ->check(CLI::IsMember(measures))
      ->capture_default_str();
}

void add_list_option(CLI::App& app, const std::string& name, std::vector<std::string>& values,
                     const std::string& sentence) {
  app.add_option(name, values, sentence)->take_all()->expected(1)->trigger_on_parse(false);
}

void add_options(CLI::App& app, SweepArguments& options) {
  app.add_option("run", options.run.file, "Run file (TOML)");
  add_change_options(app, options.run);
  add_list_option(app, "--vary", options.varied,
                  "KEY=VALUES: 1,2,4 or 2..16 (doubling) or 4..16+4 (in steps); all combinations");
  add_list_option(app, "--zip", options.zipped, "KEY=VALUES that change together");
  app.add_option("--journal", options.journal,
                 "SQLite file of the results; what it has is not computed again");
  app.add_flag("--resume", options.must_resume,
               "Go on with the journal (which an existing one means anyway)");
  app.add_option("--jobs", options.jobs, "Worker processes")->check(CLI::Range(1, 1024));
  auto* shard = app.add_option("--shard", options.shard, "Only a part of the points, such as 2/8");
  auto* emit = app.add_option("--emit", options.emit,
                              "Print a script that does this in shards, and merges them")
                   ->check(CLI::IsMember({"slurm", "parallel"}))
                   ->excludes(shard);
  app.add_option("--shards", options.shards, "How many, with --emit")
      ->check(CLI::PositiveNumber)
      ->needs(emit);
  app.add_flag("--quiet", options.is_quiet, "Print no table: the journal has it");
  add_telling(app, options.telling);
}

}  // namespace

std::function<int()> add_sweep(CLI::App& app, Console& console) {
  auto options = std::make_shared<SweepArguments>();
  add_options(app, *options);
  CLI::App* merge = app.add_subcommand("merge", "Unite the journals of shards in one");
  merge->add_option("journal", options->merged, "The journal to write")->required();
  merge->add_option("parts", options->parts, "The journals to read")->required();
  CLI::App* tell = app.add_subcommand("export", "Print what a journal has");
  tell->add_option("journal", options->exported, "The journal to read")->required();
  add_telling(*tell, options->telling);
  return [options, &console, merge, tell] {
    if (merge->parsed()) {
      return merge_command(*options, console);
    }
    if (tell->parsed()) {
      return export_command(*options, console);
    }
    if (options->run.file.empty()) {
      console.talk << "error: expected a run file, merge or export\n"
                   << "for help: foretrain sweep --help\n";
      return kBadInput;
    }
    return sweep_command(*options, console);
  };
}

}  // namespace foretrain::cli
