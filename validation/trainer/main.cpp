// foretrain_trainer: trains a GPT for real as a run file says, and measures it; or measures
// kernels, collectives and codecs. One process for each rank: launch.sh starts them.
// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "validation/trainer/benchmark.hpp"
#include "validation/trainer/measure.hpp"
#include "validation/trainer/trainer.hpp"

namespace foretrain::trainer {
namespace {

constexpr int kGood = 0;
constexpr int kOurFault = 1;
constexpr int kBadInput = 2;

struct Options {
  std::string device = "cpu";
  int gpu = 0;
  Rendezvous where;
  std::string run;
  std::vector<std::string> sets;
  std::int64_t warm_up = 2;
  std::int64_t repeats = 5;
  TrainerOptions trainer;
  std::string text;
  std::string output;
  std::string trace;
  std::string losses;
  std::string what;  // of a benchmark
  double effort = 1;
};

std::string environment(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : fallback;
}

std::string today() { return fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::time(nullptr))); }

/// A file that is written by rank 0 only; the others' text goes nowhere.
class Output {
 public:
  Output(const std::string& path, int rank) : path_(rank == 0 ? path : "") {
    if (!path_.empty() && path_ != "-") {
      file_.open(path_, std::ios::binary);
    }
  }
  [[nodiscard]] std::ostream& stream() { return path_ == "-" ? std::cout : file_; }
  void close() {
    stream().flush();
    if (!path_.empty() && !stream()) {
      throw ConfigError({Diagnostic{path_, 0, 0, "--output", "cannot be written", ""}});
    }
  }

 private:
  std::string path_;
  std::ofstream file_;
};

/// The device and the world of this process.
struct Party {
  std::unique_ptr<Device> device;
  std::unique_ptr<World> world;

  explicit Party(const Options& options)
      : device(options.device == "cuda" ? cuda_device(options.gpu) : cpu_device()),
        world(options.device == "cuda" ? nccl_world(options.where, *device)
                                       : gloo_world(options.where, *device)) {}
};

Catalogue catalogue() {
  const std::string root = environment("FORETRAIN_DATA", FORETRAIN_DATA_DIR);
  return {root + "/models", root + "/platforms", root + "/strategies/stacks"};
}

double now() {
  const auto time = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(time).count();
}

config::Value run_tree(const Options& options, config::Sources& sources) {
  config::Value root = config::parse_toml(sources, options.run, config::read_file(options.run));
  for (const std::string& assignment : options.sets) {
    config::apply_set(sources, root, assignment);
  }
  return root;
}

void describe(Measurement& measurement, const Party& party) {
  measurement.hardware = party.device->description();
  measurement.communication =
      party.world->description() + ", " + environment("FORETRAIN_FABRIC", "loopback");
  measurement.versions = party.device->versions();
  measurement.ranks = party.world->size();
  measurement.stream_names = party.device->stream_names();
  measurement.peak_bytes = static_cast<std::int64_t>(
      party.world->maximum(static_cast<double>(party.device->peak_bytes())));
  measurement.used_bytes = static_cast<std::int64_t>(
      party.world->maximum(static_cast<double>(party.device->used_bytes())));
}

// All steps, those before the first timed one too; each is timed from a barrier to the last rank.
Measurement measure(const Options& options, Party& party, Trainer& trainer, std::ostream& losses) {
  Measurement measurement;
  measurement.warm_up = options.warm_up;
  losses << "step,loss,gradient_norm,step_time_s\n";
  for (std::int64_t step = 0; step < options.warm_up + options.repeats; ++step) {
    party.world->barrier();
    const double start = now();
    const StepResult result = trainer.step();
    const double time = party.world->maximum(now() - start);
    losses << fmt::format("{},{:.7g},{:.7g},{:.6g}\n", step + 1, result.loss, result.gradient_norm,
                          time);
    if (step >= options.warm_up) {
      measurement.step_times_s.push_back(time);
    }
    measurement.first_loss = step == 0 ? result.loss : measurement.first_loss;
    measurement.last_loss = result.loss;
  }
  if (!options.output.empty() || !options.trace.empty()) {  // what times itself is not timed
    party.world->barrier();
    party.device->start_spans();
    (void)trainer.step();
    measurement.spans = party.device->take_spans();
  }
  describe(measurement, party);
  return measurement;
}

int train(const Options& options) {
  Party party(options);
  config::Sources sources;
  const Plan plan = read_plan(sources, options.run, options.sets, catalogue(), options.where.size,
                              party.device->activation_type());
  const Text text(
      options.text.empty() ? generated_text(1 << 20, 7) : config::read_file(options.text),
      plan.training.sequence_length, options.trainer.seed);
  Trainer trainer(*party.device, *party.world, plan, text, options.trainer);
  Output losses(options.losses, options.where.rank);
  const Measurement measurement = measure(options, party, trainer, losses.stream());
  losses.close();
  if (options.where.rank != 0) {
    return kGood;
  }
  if (!options.output.empty()) {
    Output output(options.output, 0);
    output.stream() << measurement_toml(run_tree(options, sources), measurement, today());
    output.close();
  }
  if (!options.trace.empty()) {
    Output trace(options.trace, 0);
    write_trace(trace.stream(), measurement.spans, measurement.stream_names, 0);
    trace.close();
  }
  std::cerr << fmt::format("{:.4g} ms a step (median of {}), loss {:.4f} -> {:.4f}\n",
                           median(measurement.step_times_s) * 1e3, options.repeats,
                           measurement.first_loss, measurement.last_loss);
  return kGood;
}

int benchmark(const Options& options) {
  Party party(options);
  Output output(options.output, options.where.rank);
  run_benchmark(options.what, *party.device, *party.world, options.effort, output.stream());
  output.close();
  return kGood;
}

void add_common(CLI::App& app, Options& options) {
  app.add_option("--device", options.device, "What to train on")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--gpu", options.gpu, "Which GPU of this machine")->capture_default_str();
  app.add_option("--rank", options.where.rank, "This process among all")
      ->envname("FORETRAIN_RANK")
      ->capture_default_str();
  app.add_option("--world-size", options.where.size, "Processes in all")
      ->envname("FORETRAIN_WORLD_SIZE")
      ->capture_default_str();
  app.add_option("--rendezvous", options.where.directory, "A folder that all ranks see, empty")
      ->envname("FORETRAIN_RENDEZVOUS");
  app.add_option("--interface", options.where.interface, "Network interface; loopback by default")
      ->envname("FORETRAIN_INTERFACE");
}

std::function<int()> add_train(CLI::App& app, Options& options) {
  add_common(app, options);
  app.add_option("run", options.run, "Run file (TOML), as foretrain simulate reads it")->required();
  app.add_option("--set", options.sets, "Override a key, such as parallel.tensor=2")
      ->take_all()
      ->expected(1)
      ->trigger_on_parse(false);
  app.add_option("--warm-up", options.warm_up, "Steps that are not timed")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--repeats", options.repeats, "Steps that are timed")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", options.trainer.seed, "Of parameters and samples")
      ->capture_default_str();
  app.add_option("--learning-rate", options.trainer.learning_rate, "Of AdamW")
      ->capture_default_str();
  app.add_option("--text", options.text, "What is learned; a generated text by default");
  app.add_option("--output", options.output, "Write the run file with [measured]; - is stdout");
  app.add_option("--trace", options.trace, "Write a trace of one step for ui.perfetto.dev");
  app.add_option("--losses", options.losses, "Write a table of all steps (CSV)");
  return [&options] { return train(options); };
}

std::function<int()> add_benchmark(CLI::App& app, Options& options) {
  add_common(app, options);
  app.add_option("what", options.what, "What to time")
      ->required()
      ->check(CLI::IsMember(benchmark_names()));
  app.add_option("--effort", options.effort, "How long to time, as a multiple of the usual")
      ->check(CLI::Range(0.01, 100.0))
      ->capture_default_str();
  app.add_option("--output", options.output, "Where the table goes; - is stdout")->default_str("-");
  options.output = "-";
  return [&options] { return benchmark(options); };
}

int run(int argc, char** argv) {
  CLI::App app("Trains a GPT for real as a run file says, and measures it");
  app.require_subcommand(1);
  Options training;
  Options measuring;
  const auto train_it =
      add_train(*app.add_subcommand("train", "Train, and measure the steps"), training);
  CLI::App* timing = app.add_subcommand("benchmark", "Time kernels, collectives, codecs");
  const auto measure_it = add_benchmark(*timing, measuring);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kGood : kBadInput;
  }
  try {
    return timing->parsed() ? measure_it() : train_it();
  } catch (const ConfigError& error) {
    std::cerr << "foretrain_trainer: " << error.what() << '\n';
    return kBadInput;
  } catch (const std::exception& error) {
    std::cerr << "foretrain_trainer: " << error.what() << '\n';
    return kOurFault;
  }
}

}  // namespace
}  // namespace foretrain::trainer

int main(int argc, char** argv) {
  try {
    return foretrain::trainer::run(argc, argv);
  } catch (...) {  // what run() could not even tell
    return foretrain::trainer::kOurFault;
  }
}
