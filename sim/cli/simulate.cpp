// foretrain simulate: one training step, told as text, JSON or CSV, and traced on request.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/simulate.hpp"

#include <fstream>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/core/error.hpp"
#include "sim/report/trace.hpp"

namespace foretrain::cli {
namespace {

struct SimulateArguments {
  RunOptions run;
  std::string format = "text";
  std::string fidelity = "lumped";
  std::string trace;
  bool trace_all = false;
};

std::vector<Rank> simulated_ranks(const Simulation& simulation) {
  std::vector<Rank> ranks;
  for (std::size_t rank = 0; rank < simulation.simulated.size(); ++rank) {
    if (simulation.simulated[rank] == Rank(rank)) {
      ranks.push_back(Rank(rank));
    }
  }
  return ranks;
}

void write_trace_file(const SimulateArguments& options, const Simulation& simulation) {
  std::ofstream file(options.trace);
  const Program& program = simulation.program;
  write_trace(file, program, simulation.timeline,
              options.trace_all ? simulated_ranks(simulation) : representative_ranks(program));
  file.flush();
  if (!file) {
    throw ConfigError({Diagnostic{options.trace, 0, 0, "--trace", "cannot be written", ""}});
  }
}

int simulate_command(const SimulateArguments& options, Console& console) {
  LoadedRun loaded;
  load_run(options.run, loaded);
  Simulation simulation = simulate(loaded.run, progress_on(console),
                                   options.fidelity == "full" ? Fidelity::full : Fidelity::lumped);
  Prediction& prediction = simulation.prediction;
  add_interval(loaded.run, prediction);
  prediction.notes.insert(prediction.notes.begin(), loaded.changes.begin(), loaded.changes.end());
  prediction.provenance = provenance_of(loaded.sources, data_root());
  prediction.provenance.seed = loaded.run.variation.seed;
  if (options.format == "json") {
    console.out << to_json(prediction);
  } else if (options.format == "csv") {
    console.out << to_csv(prediction);
  } else {
    console.out << to_text(prediction);
  }
  if (!options.trace.empty()) {
    write_trace_file(options, simulation);
  }
  console.talk << fmt::format("{} events of {} ranks in {:.2f} s\n", prediction.simulation.events,
                              prediction.simulation.simulated_ranks,
                              prediction.simulation.wall.value);
  return prediction.fits() ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_simulate(CLI::App& app, Console& console) {
  auto options = std::make_shared<SimulateArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--fidelity", options->fidelity,
                 "Simulate one rank of all that must behave alike (exact), or each on its own")
      ->check(CLI::IsMember({"lumped", "full"}))
      ->capture_default_str();
  app.add_option("--trace", options->trace, "Write a timeline for ui.perfetto.dev to this file");
  app.add_flag("--trace-all", options->trace_all,
               "Trace every simulated rank, not one of each role");
  return [options, &console] { return simulate_command(*options, console); };
}

}  // namespace foretrain::cli
