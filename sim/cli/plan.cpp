// foretrain plan: how few GPUs, which layout, how long, how much money, and where it stops paying.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/plan.hpp"

#include <algorithm>
#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/cli/economics.hpp"
#include "sim/cli/layouts.hpp"
#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "sim/study/amounts.hpp"

namespace foretrain::cli {
namespace {

struct PlanArguments {
  RunOptions run;
  std::string model;
  std::string platform;
  std::string stack;
  std::string tokens;
  std::int64_t sequence = 0;
  std::int64_t global_batch = 0;
  std::string deadline;
  std::string budget;
  EconomicsOptions economics;
  std::string format = "text";
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
  PlanOptions plan;
};

constexpr std::int64_t kUsualSequence = 4096;
// Tokens of a step: what Llama-2 was trained with (Touvron et al. 2023, section 2.2).
constexpr std::int64_t kUsualBatchTokens = std::int64_t{4} * 1024 * 1024;

bool has_flash(const Cluster& cluster, FlashVersion version) {
  const auto kinds = cluster.kinds();
  return std::all_of(kinds.begin(), kinds.end(),
                     [&](const Cluster* kind) { return supports(kind->gpu, version); });
}

// The newest software that the GPUs run.
std::string usual_stack(const Cluster& cluster) {
  return has_flash(cluster, FlashVersion::flash_cudnn) ? "megatron-core-2024"
         : has_flash(cluster, FlashVersion::flash2)    ? "generic"
                                                       : "megatron-deepspeed-2022";
}

std::string usual_precision(const Cluster& cluster) {
  const auto kinds = cluster.kinds();
  const bool has_bf16 = std::all_of(kinds.begin(), kinds.end(), [](const Cluster* kind) {
    return supports(kind->gpu, Dtype::bf16);
  });
  return has_bf16 ? "bf16" : "fp16";
}

// Sequences of a usual batch; nodes of six GPUs want a multiple of three.
std::int64_t usual_batch(const Cluster& cluster, std::int64_t sequence) {
  std::int64_t odd = cluster.gpus_per_node;
  while (odd % 2 == 0) {
    odd /= 2;
  }
  std::int64_t batch = odd;
  while (2 * batch * sequence <= kUsualBatchTokens) {
    batch *= 2;
  }
  return batch;
}

// As long as learned positions go.
std::int64_t usual_sequence(const std::string& name, config::Sources& sources) {
  const Model model = load_model(sources, name, find_catalogue().models);
  return model.position == PositionKind::learned ? std::min(kUsualSequence, model.max_positions)
                                                 : kUsualSequence;
}

// A run file of the model and platform that were named, whose layout is open.
std::string text_of_names(const PlanArguments& options) {
  config::Sources sources;
  const Cluster cluster = load_cluster(sources, options.platform, find_catalogue().platforms);
  const std::int64_t sequence =
      options.sequence > 0 ? options.sequence : usual_sequence(options.model, sources);
  const std::int64_t batch =
      options.global_batch > 0 ? options.global_batch : usual_batch(cluster, sequence);
  return fmt::format(
      "model = {}\nplatform = {}\nstack = {}\n\n[training]\nsequence_length = {}\n"
      "global_batch = {}\nprecision = {}\n",
      config::toml_string(options.model), config::toml_string(options.platform),
      config::toml_string(options.stack.empty() ? usual_stack(cluster) : options.stack), sequence,
      batch, config::toml_string(usual_precision(cluster)));
}

[[noreturn]] void refuse_usage(const std::string& key, const std::string& message) {
  throw ConfigError({Diagnostic{"plan", 0, 0, key, message, "", 0}});
}

RunOptions open_run(const PlanArguments& options) {
  RunOptions run = options.run;
  if (run.file.empty()) {
    if (options.model.empty() || options.platform.empty()) {
      refuse_usage("--model", "expected a run file, or --model and --platform");
    }
    run.text = text_of_names(options);
    run.file = "--model";
    return run;
  }
  run = without_layout(run);
  const auto set = [&](const std::string& key, const std::string& value) {
    if (!value.empty()) {
      run.sets.push_back(key + "=" + value);
    }
  };
  set("model", options.model);
  set("platform", options.platform);
  set("stack", options.stack);
  set("training.sequence_length", options.sequence > 0 ? std::to_string(options.sequence) : "");
  set("training.global_batch",
      options.global_batch > 0 ? std::to_string(options.global_batch) : "");
  return run;
}

void read_tokens(const PlanArguments& options, const Run& run, PlanOptions& plan) {
  const double optimal = kChinchilla * static_cast<double>(activated_parameters(run.model));
  const std::string best = fmt::format("{}, {:.0f} per parameter, would be Chinchilla-optimal",
                                       show_tokens(optimal), kChinchilla);
  const std::optional<double> given =
      options.tokens.empty() ? run.training.tokens : config::parse_count(options.tokens);
  if (!options.tokens.empty() && given.value_or(0) <= 0) {
    refuse_usage("--tokens", "expected a count such as \"15 T\", got \"" + options.tokens + "\"");
  }
  plan.tokens = given.value_or(optimal);
  plan.tokens_note =
      given ? "as given; " + best
            : fmt::format(
                  "none given: {} per parameter are Chinchilla-optimal (Hoffmann et al. 2022)",
                  kChinchilla);
}

PlanOptions read_plan(const PlanArguments& options, const Run& run) {
  PlanOptions plan = options.plan;
  read_tokens(options, run, plan);
  if (!options.deadline.empty()) {
    plan.deadline = amount_of<Seconds>("--deadline", options.deadline, parse_period,
                                       "a time such as \"30 d\" or \"6 w\"");
  }
  if (!options.budget.empty()) {
    plan.budget = amount_of<double>("--budget", options.budget, parse_money,
                                    "a sum such as \"$2M\" or \"$900k\"");
  }
  plan.economics = economics_of(run.cluster, read_choice(options.economics));
  if (plan.budget && !plan.economics.price) {
    refuse_usage("--budget", "a budget needs --price: there is no example for these GPUs");
  }
  return plan;
}

int plan_command(const PlanArguments& options, Console& console) {
  const RunOptions open = open_run(options);
  LoadedRun base;
  load_open(open, base);
  const PlanOptions how = read_plan(options, base.run);
  const FindOptions find = find_options(open, options.jobs, console);
  const OpenRun layouts = open_run_of(base);
  const FixedChoices usual = usual_choices(base.run);
  Plan result = plan(base.run, how,
                     {[&](std::int64_t gpus) { return fastest_layout(layouts, gpus, usual, find); },
                      [&](std::int64_t gpus) { return small_layout(layouts, gpus, find); }});
  std::vector<NodeChoice> nodes;
  if (result.choice) {
    const PlanRow& row = result.rows[*result.choice];
    result.with_failures = with_failures(base.run, row, how, reliability_of(base));
    const std::int64_t gpus = row.point.gpus;
    nodes = choose_nodes(open, gpus / base.run.cluster.gpus_per_node, find,
                         read_choice(options.economics));
  }
  if (options.format == "json") {
    console.out << plan_json(result, base.run, how, nodes);
  } else if (options.format == "csv") {
    console.out << plan_csv(result);
  } else {
    for (const std::string& change : base.changes) {
      console.out << change << '\n';
    }
    console.out << plan_text(result, base.run, how);
    if (!nodes.empty()) {
      console.out << '\n' << node_choices_text(nodes, how.tokens);
    }
  }
  return result.choice ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_plan(CLI::App& app, Console& console) {
  auto options = std::make_shared<PlanArguments>();
  app.add_option("run", options->run.file,
                 "Run file for the details; its size and [parallel] are what is planned");
  app.add_option("--model", options->model, "Name of a model, or a file");
  app.add_option("--platform", options->platform, "Name of a platform, or a file");
  app.add_option("--stack", options->stack, "Software; by default the newest that the GPUs run");
  app.add_option("--tokens", options->tokens,
                 "Of the whole training: \"15 T\"; by default as many as are Chinchilla-optimal");
  app.add_option("--sequence", options->sequence, "Tokens of a sequence")
      ->check(CLI::Range(1, 10'000'000));
  app.add_option("--global-batch", options->global_batch,
                 "Sequences of a step; by default 4 Mi tokens")
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--deadline", options->deadline, "Time to train: \"30 d\"");
  app.add_option("--budget", options->budget, "Money to spend: \"$2M\"");
  add_economics_options(app, options->economics);
  app.add_option("--efficiency", options->plan.threshold,
                 "Efficiency below which a size is past the knee")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  app.add_option("--gpus", options->plan.sizes,
                 "Sizes to plan for: 512, or 256,1024; by default doubling")
      ->delimiter(',')
      ->check(CLI::Range(1, 262'144));
  app.add_option("--max-gpus", options->plan.most_gpus, "The largest size that is tried")
      ->check(CLI::Range(1, 262'144))
      ->capture_default_str();
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  add_change_options(app, options->run);
  add_format_option(app, options->format);
  return [options, &console] { return plan_command(*options, console); };
}

}  // namespace foretrain::cli
