// foretrain explain: every quantity of a step with its formula, numbers and source.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/explain/explain.hpp"

#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "sim/cli/cli.hpp"

namespace foretrain::cli {
namespace {

struct ExplainArguments {
  RunOptions run;
  std::string format = "text";
};

int explain_command(const ExplainArguments& options, Console& console) {
  LoadedRun loaded;
  load_run(options.run, loaded);
  const Simulation simulation = simulate(loaded.run, progress_on(console));
  const Explanation explanation = explain(loaded.run, simulation);
  if (options.format == "json") {
    console.out << explain_json(explanation);
  } else if (options.format == "csv") {
    console.out << explain_csv(explanation);
  } else {
    console.out << explain_text(explanation);
  }
  return kGood;
}

}  // namespace

std::function<int()> add_explain(CLI::App& app, Console& console) {
  auto options = std::make_shared<ExplainArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  return [options, &console] { return explain_command(*options, console); };
}

}  // namespace foretrain::cli
