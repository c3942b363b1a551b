// foretrain memory: what fills the memory of each stage, and whether it fits.
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "sim/cli/cli.hpp"
#include "sim/cli/fitting.hpp"
#include "sim/study/simulate.hpp"

namespace foretrain::cli {
namespace {

struct MemoryArguments {
  RunOptions run;
  std::string format = "text";
};

int memory_command(const MemoryArguments& options, Console& console) {
  LoadedRun loaded;
  load_run(options.run, loaded);
  Simulation simulation = simulate(loaded.run, progress_on(console));
  Prediction& prediction = simulation.prediction;
  if (!prediction.fits()) {
    prediction.fitting = changes_that_fit(options.run, loaded.run);
  }
  prediction.provenance = provenance_of(loaded.sources, data_root());
  prediction.provenance.seed = loaded.run.variation.seed;
  if (options.format == "json") {
    console.out << memory_json(prediction);
  } else if (options.format == "csv") {
    console.out << memory_csv(prediction);
  } else {
    console.out << prediction.title << '\n' << prediction.layout << '\n';
    for (const std::string& change : loaded.changes) {
      console.out << change << '\n';
    }
    console.out << '\n' << memory_text(prediction);
  }
  const bool fits = prediction.fits() && (!prediction.generation || prediction.generation->fits());
  return fits ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_memory(CLI::App& app, Console& console) {
  auto options = std::make_shared<MemoryArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  return [options, &console] { return memory_command(*options, console); };
}

}  // namespace foretrain::cli
