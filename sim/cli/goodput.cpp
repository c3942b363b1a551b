// foretrain goodput: a long run with failures, at one size or at several.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/goodput.hpp"

#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "sim/cli/cli.hpp"
#include "sim/cli/economics.hpp"
#include "sim/config/quantity.hpp"
#include "sim/core/error.hpp"
#include "sim/study/scale.hpp"
#include "sim/study/simulate.hpp"

namespace foretrain::cli {
namespace {

using goodput::Outcome;
using goodput::Reliability;
using goodput::Size;

struct GoodputArguments {
  RunOptions run;
  std::string format = "text";
  std::string nodes;      // empty: the run's
  std::string step_time;  // empty: simulated
  std::string price;      // empty: the run file's
  goodput::MonteCarlo monte_carlo;
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
};

[[noreturn]] void refuse(const std::string& option, const std::string& message) {
  throw ConfigError({Diagnostic{option, 1, 1, "", message, ""}});
}

/// A simulation to be made: a size, with some units of nodes dropped.
struct Task {
  std::int64_t nodes = 0;  ///< of the full size
  std::int64_t dropped = 0;
  std::vector<std::string> sets;
};

/// What a worker found: a rate, or why there is none.
struct Step {
  Seconds time;
  double tokens = 0;
  bool fits = true;
  std::string refusal;
};

// Nodes or GPUs, as the run file says it, and data parallelism where that is stated as a check.
void resize(const Run& base, std::int64_t gpus, std::vector<std::string>& sets) {
  sets.push_back(base.gpus > 0 ? fmt::format("gpus={}", gpus)
                               : fmt::format("nodes={}", gpus / base.cluster.gpus_per_node));
  if (base.parallel.data) {
    const std::int64_t per_replica =
        base.parallel.tensor * base.parallel.pipeline * base.parallel.context;
    sets.push_back(fmt::format("parallel.data={}", gpus / per_replica));
  }
}

RunOptions with(const RunOptions& options, const std::vector<std::string>& sets) {
  RunOptions changed = options;
  changed.sets.insert(changed.sets.end(), sets.begin(), sets.end());
  return changed;
}

Step simulate_step(const RunOptions& options) {
  Step step;
  try {
    LoadedRun loaded;
    load_run(options, loaded);
    const Prediction prediction = simulate(loaded.run).prediction;
    step.time = prediction.step_time.seconds();
    step.fits = prediction.fits();
    step.tokens = loaded.run.tokens_per_step();
  } catch (const ConfigError& error) {
    step.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    step.refusal = fmt::format("internal error: {}", error.what());
  }
  return step;
}

std::vector<Step> simulate_steps(const GoodputArguments& options, const std::vector<Task>& tasks,
                                 Console& console) {
  const auto texts = run_in_workers(
      tasks.size(), options.jobs,
      [&](std::size_t i) {
        const Step step = simulate_step(with(options.run, tasks[i].sets));
        return nlohmann::json{step.time.value, step.tokens, step.fits, step.refusal}.dump(
            -1, ' ', false, nlohmann::json::error_handler_t::replace);
      },
      pieces_done_on(console, tasks.size(), "steps"));
  std::vector<Step> steps;
  for (const auto& text : texts) {
    Step& step = steps.emplace_back();
    if (text) {
      const auto json = nlohmann::json::parse(*text);
      step = {Seconds(json[0].get<double>()), json[1].get<double>(), json[2].get<bool>(),
              json[3].get<std::string>()};
    } else {
      step.refusal = "the worker process died";
    }
  }
  return steps;
}

class Study {
 public:
  Study(const GoodputArguments& options, Console& console) : options_(options), console_(console) {
    load_run(options.run, base_);
    reliability_ = reliability_of(base_);
    if (!options.price.empty()) {
      reliability_.price = read_price(options.price);
    }
    if (!reliability_.duration && !base_.run.training.tokens) {
      refuse(options.run.file,
             "a run needs an end: training.tokens, or a duration in [reliability]");
    }
    nodes_ = options.nodes.empty() ? std::vector<std::int64_t>{base_.run.nodes}
                                   : parse_nodes(options.nodes);
    size_ = goodput::checkpoint_size(base_.run);
  }

  int run() {
    const std::vector<Size> sizes = options_.step_time.empty() ? simulated() : given();
    std::vector<Outcome> outcomes;
    outcomes.reserve(sizes.size());
    for (const Size& size : sizes) {
      outcomes.push_back(
          goodput::goodput(reliability_, size, base_.run.training.tokens, options_.monte_carlo));
    }
    if (outcomes.empty()) {
      return kConditionFailed;
    }
    write(outcomes);
    const bool is_finished =
        std::any_of(outcomes.begin(), outcomes.end(),
                    [](const Outcome& outcome) { return outcome.unfinished < 1; });
    return is_finished ? kGood : kConditionFailed;
  }

 private:
  std::int64_t gpus_of(std::int64_t nodes) const {
    return options_.nodes.empty() ? base_.run.num_gpus() : nodes * base_.run.cluster.gpus_per_node;
  }

  // Everything but what takes a simulation.
  Size blank(std::int64_t nodes) const {
    const Parallel& parallel = base_.run.parallel;
    Size size;
    size.nodes = nodes;
    size.gpus = gpus_of(nodes);
    size.nics_per_node = base_.run.cluster.nics_per_node;
    size.checkpoint = reliability_.checkpoint.size.value_or(size_.total());
    size.shrink_unit = goodput::shrink_unit(parallel.tensor * parallel.pipeline * parallel.context,
                                            base_.run.cluster.gpus_per_node);
    return size;
  }

  // How many units may be dropped; one replica stays.
  std::int64_t units(const Size& size) const {
    constexpr std::int64_t kMostUnits = 16;
    return std::clamp<std::int64_t>(reliability_.shrink / size.shrink_unit, 0,
                                    std::min(kMostUnits, size.nodes / size.shrink_unit - 1));
  }

  // Without simulations a replica keeps its pace.
  std::vector<Size> given() const {
    const auto time = config::parse_quantity<Seconds>(options_.step_time);
    if (!time || *time <= Seconds(0)) {
      refuse("--step-time", fmt::format("expected {}, got \"{}\"",
                                        config::expected_quantity<Seconds>(), options_.step_time));
    }
    std::vector<Size> sizes;
    for (const std::int64_t nodes : nodes_) {
      Size& size = sizes.emplace_back(blank(nodes));
      const double growth =
          static_cast<double>(size.gpus) / static_cast<double>(base_.run.num_gpus());
      size.step_time = *time / growth;
      size.tokens_per_step = base_.run.tokens_per_step();
      for (std::int64_t unit = 1; unit <= units(size); ++unit) {
        size.shrunk_rates.push_back(1 - static_cast<double>(unit * size.shrink_unit) /
                                            static_cast<double>(size.nodes));
      }
    }
    return sizes;
  }

  // A job that drops replicas keeps each replica's share of the batch.
  std::vector<Task> tasks_of(const Size& size) const {
    std::vector<Task> tasks;
    for (std::int64_t unit = 0; unit <= units(size); ++unit) {
      Task& task = tasks.emplace_back();
      task.nodes = size.nodes;
      task.dropped = unit;
      const std::int64_t left = size.nodes - unit * size.shrink_unit;
      if (unit > 0) {
        task.sets.push_back(fmt::format("training.global_batch={}",
                                        base_.run.training.global_batch * left / size.nodes));
      }
      if (unit > 0 || !options_.nodes.empty()) {
        resize(base_.run, left * base_.run.cluster.gpus_per_node, task.sets);
      }
    }
    return tasks;
  }

  std::string fewer_text(const Task& task) const {
    return task.dropped == 0
               ? ""
               : fmt::format(" less {}", task.dropped * blank(task.nodes).shrink_unit);
  }

  std::vector<Size> simulated() {
    std::vector<Task> tasks;
    for (const std::int64_t nodes : nodes_) {
      const std::vector<Task> of_size = tasks_of(blank(nodes));
      tasks.insert(tasks.end(), of_size.begin(), of_size.end());
    }
    const std::vector<Step> steps = simulate_steps(options_, tasks, console_);
    std::vector<Size> sizes;
    std::int64_t refused = 0;  // the size whose smaller ones are left out too
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const Task& task = tasks[i];
      const Step& step = steps[i];
      if (!step.refusal.empty()) {
        refused = task.dropped == 0 ? task.nodes : refused;
        console_.talk << fmt::format("{} nodes{}: {}\n", task.nodes, fewer_text(task),
                                     step.refusal);
      } else if (task.dropped == 0) {
        Size& size = sizes.emplace_back(blank(task.nodes));
        size.step_time = step.time;
        size.tokens_per_step = step.tokens;
        if (!step.fits) {
          notes_.push_back(
              fmt::format("{} nodes do not fit in memory; this is what it would come "
                          "to if they did",
                          task.nodes));
        }
      } else if (task.nodes != refused &&
                 static_cast<std::int64_t>(sizes.back().shrunk_rates.size()) + 1 == task.dropped) {
        const Size& size = sizes.back();
        const double whole = size.tokens_per_step / size.step_time.value;
        sizes.back().shrunk_rates.push_back(step.tokens / step.time.value / whole);
      }
    }
    return sizes;
  }

  void write(const std::vector<Outcome>& outcomes) const {
    goodput::Heading heading;
    heading.title = fmt::format("{} on {}", base_.run.model.name, base_.run.cluster.name);
    heading.step_time_source = options_.step_time.empty() ? "simulated" : "given";
    heading.checkpoint = size_;
    heading.is_checkpoint_given = reliability_.checkpoint.size.has_value();
    heading.tokens = base_.run.training.tokens;
    heading.notes = notes_;
    if (options_.format == "json") {
      console_.out << goodput::goodput_json(heading, reliability_, outcomes);
    } else if (options_.format == "csv") {
      console_.out << goodput::goodput_csv(outcomes);
    } else if (options_.nodes.empty()) {
      console_.out << goodput::goodput_text(heading, reliability_, outcomes.front());
    } else {
      console_.out << goodput::goodput_table(heading, reliability_, outcomes);
    }
  }

  const GoodputArguments& options_;
  Console& console_;
  LoadedRun base_;
  Reliability reliability_;
  std::vector<std::int64_t> nodes_;
  goodput::CheckpointSize size_;
  std::vector<std::string> notes_;
};

}  // namespace

std::function<int()> add_goodput(CLI::App& app, Console& console) {
  auto options = std::make_shared<GoodputArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--nodes", options->nodes,
                 "A row for each of these sizes: \"1024,2048\" or \"2..64\" (doubling)");
  app.add_option(
      "--step-time", options->step_time,
      "Time of a step, such as \"5.1 s\", instead of simulating one; at other sizes it goes "
      "with the GPUs");
  app.add_option("--runs", options->monte_carlo.runs, "Simulated runs")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--seed", options->monte_carlo.seed, "Of the failures")->capture_default_str();
  add_price_option(app, options->price);
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  return [options, &console] { return Study(*options, console).run(); };
}

}  // namespace foretrain::cli
