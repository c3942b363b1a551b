// foretrain validate: predictions held against what was measured, by others or here and now.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/cli/live.hpp"
#include "sim/core/error.hpp"
#include "sim/study/workers.hpp"
#include "validation/judge.hpp"
#include "validation/residuals.hpp"
#include "validation/steps_csv.hpp"
#include "validation/verdict.hpp"

namespace foretrain::cli {
namespace {

using validation::Case;
using validation::Outcome;

struct ValidateArguments {
  std::vector<std::string> paths;
  std::string table;
  std::string rules;
  std::string qualities = "AB";
  std::vector<std::string> groups;
  std::vector<std::string> ids;
  bool is_shown = false;
  std::vector<std::string> sets;
  std::string format = "text";
  std::string overrides;
  std::string residuals;
  double tolerance = 0;
  std::size_t worst = 1000;
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
  LiveCommand live;
};

std::vector<Case> load(const ValidateArguments& options, const validation::SourceRules& rules,
                       config::Sources& sources) {
  std::vector<Case> cases;
  for (const std::string& path : options.paths) {
    auto more = validation::load_cases(sources, path);
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  if (!options.table.empty()) {
    const auto table = validation::CsvTable::load(sources, options.table);
    auto more = validation::cases_of(table, rules, options.table, options.qualities);
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  return cases;
}

bool is_asked_for(const std::vector<std::string>& names, const std::string& name) {
  return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<Outcome> judge_all(const std::vector<Case>& cases,
                               const validation::JudgeOptions& options, std::size_t jobs,
                               Console& console) {
  const auto lines = run_in_workers(
      cases.size(), jobs,
      [&](std::size_t i) { return validation::to_json_line(validation::judge(cases[i], options)); },
      pieces_done_on(console, cases.size(), "cases"));
  std::vector<Outcome> outcomes;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (lines[i]) {
      outcomes.push_back(validation::outcome_from_json(*lines[i]));
    } else {
      outcomes.emplace_back();
      outcomes.back().id = cases[i].id;
      outcomes.back().group = cases[i].group;
      outcomes.back().refusal = "internal error: the process that simulated it died";
    }
  }
  return outcomes;
}

int show(const std::vector<Case>& cases, Console& console) {
  for (const Case& one : cases) {
    console.out << "# " << one.origin << '\n'
                << (one.is_expressible() ? config::to_toml(one.run)
                                         : "# not expressible: " + one.refusal + '\n');
  }
  return kGood;
}

void write_residuals(const std::string& path, const std::vector<Outcome>& outcomes) {
  std::ofstream file(path);
  file << validation::residuals_toml(validation::residuals_of(outcomes));
  file.flush();
  if (!file) {
    throw ConfigError({Diagnostic{path, 0, 0, "--write-residuals", "cannot be written", ""}});
  }
}

int validate_command(const ValidateArguments& options, Console& console) {
  config::Sources sources;
  const validation::SourceRules rules = validation::load_source_rules(
      sources, options.rules.empty() ? data_root() + "/validation/sources.toml" : options.rules);
  std::vector<Case> cases = load(options, rules, sources);
  std::erase_if(cases, [&](const Case& one) {
    return !is_asked_for(options.groups, one.group) || !is_asked_for(options.ids, one.id);
  });
  if (cases.empty()) {
    throw ConfigError(
        {Diagnostic{"", 0, 0, "validate",
                    "no case to judge: give a folder of cases, or --csv with a table", ""}});
  }
  if (options.is_shown) {
    return show(cases, console);
  }
  validation::JudgeOptions judging;
  judging.catalogue = find_catalogue();
  judging.sets = options.sets;
  if (!options.overrides.empty()) {
    judging.overrides = validation::load_overrides(sources, options.overrides);
  }
  const std::vector<Outcome> outcomes = judge_all(cases, judging, options.jobs, console);
  const validation::Verdict verdict = validation::verdict_of(
      outcomes, options.overrides.empty() ? rules.fitted : decltype(rules.fitted){});
  if (!options.residuals.empty()) {
    write_residuals(options.residuals, outcomes);
  }
  if (options.format == "json") {
    console.out << validation::verdict_json(outcomes, verdict);
  } else if (options.format == "csv") {
    console.out << validation::outcomes_csv(outcomes);
  } else {
    console.out << validation::verdict_text(outcomes, verdict, options.worst);
  }
  const bool is_out =
      options.tolerance > 0 && verdict.all.time.mean_absolute > options.tolerance / 100;
  return is_out ? kConditionFailed : kGood;
}

}  // namespace

std::function<int()> add_validate(CLI::App& app, Console& console) {
  auto options = std::make_shared<ValidateArguments>();
  app.add_option("paths", options->paths, "Cases: run files with [measured], or folders of them");
  app.add_option("--csv", options->table, "A table of measured training steps");
  app.add_option("--rules", options->rules, "Rules for the table's sources");
  app.add_option("--quality", options->qualities, "Rows of the table to judge")
      ->capture_default_str();
  app.add_option("--source", options->groups, "Only these sources")->expected(1)->take_all();
  app.add_option("--row", options->ids, "Only these cases or rows")->expected(1)->take_all();
  app.add_flag("--show", options->is_shown, "Print the run files instead of judging them");
  app.add_option("--set", options->sets, "Override a key of every case")
      ->take_all()
      ->expected(1)
      ->trigger_on_parse(false);
  app.add_option("--leave-one-out", options->overrides,
                 "A file of overrides by source, without what was fitted on that source");
  app.add_option("--write-residuals", options->residuals,
                 "Write the errors by kind of run, from which simulate takes its error bars");
  add_format_option(app, options->format);
  app.add_option("--tolerance", options->tolerance,
                 "Fail when the mean absolute error of all times is above this, in %")
      ->check(CLI::PositiveNumber);
  app.add_option("--worst", options->worst, "Cases to list of each source, the worst first")
      ->capture_default_str();
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  add_live_options(app, options->live);
  return [options, &console] {
    return options->live.is_asked_for
               ? live_command(options->live, options->format, options->tolerance, console)
               : validate_command(*options, console);
  };
}

}  // namespace foretrain::cli
