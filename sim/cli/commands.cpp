// The table of commands, and how a line of arguments becomes one of them and an exit code.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <exception>
#include <ostream>

#include <CLI/CLI.hpp>

#include "sim/cli/cli.hpp"
#include "sim/core/error.hpp"
#include "sim/core/suggest.hpp"

namespace foretrain::cli {
namespace {

// clang-format off
constexpr auto kCommands = std::to_array<Command>({
    {"simulate", "Predict one training step: time, MFU, breakdown, memory", add_simulate},
    {"memory", "Predict memory per GPU alone: does it fit?", add_memory},
    {"search", "Find the best layouts of a run among all that there are, and prove it", add_search},
    {"scale", "Predict a range of sizes: where does adding nodes stop paying?", add_scale},
    {"plan", "From model, tokens and platform to a decision: GPUs, layout, time, money, energy", add_plan},
    {"goodput", "Simulate a long run with failures: how much of the time trains?", add_goodput},
    {"sweep", "Predict every combination of values of any keys, kept in a journal", add_sweep},
    {"compress", "Predict what compressed communication brings, by method and bandwidth", add_compress},
    {"validate", "Hold predictions against measurements: published ones, or steps run here (--live)", add_validate},
    {"check", "Read and resolve a run file, or a platform alone, without simulating it", add_check},
    {"explain", "Show each quantity of a step with its formula, numbers and source", add_explain},
    {"collective", "Predict how long one collective takes, by payload", add_collective},
    {"calibrate", "Fit the numbers of a platform file to measurements", add_calibrate},
    {"list", "List models, platforms, stacks, schedules, algorithms", add_list},
});
// clang-format on

// CLI11 says only that a subcommand is required; people want to know which one they meant.
bool is_unknown_command(const std::vector<std::string>& arguments, Console& console) {
  if (arguments.empty() || arguments.front().starts_with('-')) {
    return false;
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    names.emplace_back(command.name);
    if (command.name == arguments.front()) {
      return false;
    }
  }
  console.talk << "error: there is no command '" << arguments.front() << "'";
  if (const auto near = nearest(arguments.front(), names)) {
    console.talk << "; did you mean '" << *near << "'?";
  }
  console.talk << "\nfor all commands: foretrain --help\n";
  return true;
}

int parse_and_run(const std::vector<std::string>& arguments, Console& console) {
  CLI::App app("Predicts how a distributed training run will behave.", "foretrain");
  app.set_version_flag("--version", "foretrain " FORETRAIN_VERSION);
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, std::function<int()>>> runners;
  for (const Command& command : kCommands) {
    CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.sentence));
    runners.emplace_back(sub, command.add(*sub, console));
  }
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
  } catch (const CLI::Success& success) {  // --help, --version
    app.exit(success, console.out, console.talk);
    return kGood;
  } catch (const CLI::ParseError& error) {
    console.talk << "error: " << error.what() << "\nfor help: foretrain"
                 << (arguments.empty() ? "" : " " + arguments.front()) << " --help\n";
    return kBadInput;
  }
  for (const auto& [sub, runner] : runners) {
    if (sub->parsed()) {
      return runner();
    }
  }
  return kOurFault;
}

}  // namespace

std::span<const Command> commands() { return kCommands; }

int run(const std::vector<std::string>& arguments, Console& console) {
  if (is_unknown_command(arguments, console)) {
    return kBadInput;
  }
  try {
    return parse_and_run(arguments, console);
  } catch (const ConfigError& error) {
    for (const Diagnostic& diagnostic : error.diagnostics()) {
      console.talk << "error: " << diagnostic.text() << '\n';
    }
    return kBadInput;
  } catch (const std::exception& error) {
    console.talk << "internal error, a bug in foretrain: " << error.what() << '\n';
    return kOurFault;
  }
}

}  // namespace foretrain::cli
