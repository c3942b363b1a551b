// foretrain scale: one run at several sizes, in worker processes.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/scale.hpp"

#include <fstream>
#include <memory>
#include <optional>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/cli/layouts.hpp"
#include "sim/config/text.hpp"
#include "sim/core/error.hpp"
#include "sim/study/elasticity.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/what_if/what_if.hpp"

namespace foretrain::cli {
namespace {

struct ScaleArguments {
  RunOptions run;
  std::string format = "text";
  std::string nodes = "1..64";
  bool is_weak = false;
  double threshold = 0.85;
  bool elasticities = true;
  std::string elasticities_csv;  // a file's path, or empty
  std::int64_t at = 0;           // nodes; 0: at the knee
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
};

/// A run at several sizes; `options` and `base` are those of the run file.
struct ScaleStudy {
  const ScaleArguments& options;
  const LoadedRun& base;
};

// The keys that make the run one of so many nodes; a refusal where the batch cannot grow along.
std::vector<std::string> keys_for(const ScaleStudy& study, std::int64_t nodes, ScalePoint& point) {
  const Run& run = study.base.run;
  std::vector<std::string> sets = {run.gpus > 0 ? fmt::format("gpus={}", point.gpus)
                                                : fmt::format("nodes={}", nodes)};
  if (study.options.is_weak) {
    const std::int64_t batch = run.training.global_batch;
    if (batch * nodes % run.nodes != 0) {
      point.refusal = fmt::format("global_batch {} cannot be scaled from {} to {} nodes", batch,
                                  run.nodes, nodes);
    }
    sets.push_back(fmt::format("training.global_batch={}", batch * nodes / run.nodes));
  }
  return sets;
}

// One size, with more keys set and more hardware changed; a run that cannot be says why.
ScalePoint predict(const ScaleStudy& study, std::int64_t nodes,
                   const std::vector<std::string>& sets, const std::string& what_if) {
  ScalePoint point;
  point.nodes = nodes;
  point.gpus = nodes * study.base.run.cluster.gpus_per_node;
  RunOptions sized = study.options.run;
  for (const std::string& set : keys_for(study, nodes, point)) {
    sized.sets.push_back(set);
  }
  if (!point.is_valid()) {
    return point;
  }
  sized.sets.insert(sized.sets.end(), sets.begin(), sets.end());
  sized.more_what_if = what_if;
  try {
    LoadedRun loaded;
    load_run(sized, loaded);
    point = scale_point(simulate(loaded.run).prediction);
    point.nodes = nodes;
  } catch (const ConfigError& error) {
    point.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    point.refusal = fmt::format("internal error: {}", error.what());
  }
  return point;
}

// Where to look at single numbers: the knee, or the largest size that ran.
std::optional<std::int64_t> size_to_improve(const ScaleArguments& options,
                                            const std::vector<ScaleRow>& rows) {
  if (options.at > 0) {
    return options.at;
  }
  std::optional<std::int64_t> nodes;
  for (const ScaleRow& row : rows) {
    if (row.point.is_valid()) {
      nodes = row.point.nodes;
    }
    if (row.is_knee) {
      break;
    }
  }
  return nodes;
}

std::optional<Elasticities> what_to_buy(const ScaleStudy& study, const std::vector<ScaleRow>& rows,
                                        Console& console) {
  const std::optional<std::int64_t> nodes = size_to_improve(study.options, rows);
  if (!study.options.elasticities || !nodes) {
    return std::nullopt;
  }
  return elasticities(
      study.base.run.training.recompute, study.options.jobs,
      [&](const std::vector<std::string>& sets, const std::string& what_if) {
        return predict(study, *nodes, sets, what_if);
      },
      pieces_done_on(console, elasticity_rows().size(), "changes of hardware"));
}

// On unlike nodes: which of them are worth using at that size, each in its best layout.
std::vector<NodeChoice> which_nodes(const ScaleStudy& study, const std::vector<ScaleRow>& rows,
                                    Console& console) {
  const std::optional<std::int64_t> nodes = size_to_improve(study.options, rows);
  if (!study.options.elasticities || !nodes) {
    return {};
  }
  const RunOptions open = without_layout(study.options.run);
  return choose_nodes(open, *nodes, find_options(open, study.options.jobs, console));
}

void print(const ScaleStudy& study, const std::vector<ScaleRow>& rows,
           const std::optional<Elasticities>& next, Console& console) {
  const ScaleArguments& options = study.options;
  if (options.format == "json") {
    console.out << scale_json(rows, options.threshold, next ? &*next : nullptr);
    return;
  }
  if (options.format == "csv") {
    console.out << scale_csv(rows);
    return;
  }
  const Run& run = study.base.run;
  console.out << fmt::format("{} on {}, {} scaling, {} batch of {} sequences\n", run.model.name,
                             run.cluster.name, options.is_weak ? "weak" : "strong",
                             options.is_weak ? "growing" : "constant", run.training.global_batch);
  for (const std::string& change : study.base.changes) {
    console.out << change << '\n';
  }
  console.out << scale_text(rows, options.threshold);
  if (next) {
    console.out << '\n' << elasticity_text(*next);
  }
  if (const auto nodes = which_nodes(study, rows, console); !nodes.empty()) {
    console.out << '\n' << node_choices_text(nodes, study.base.run.training.tokens.value_or(0));
  }
}

void write_elasticities(const std::string& path, const Elasticities& next) {
  std::ofstream file(path);
  file << elasticities_csv(next);
  file.flush();
  if (!file) {
    throw ConfigError({Diagnostic{path, 0, 0, "--elasticities-csv", "cannot be written", ""}});
  }
}

// What the study itself varies cannot be changed beside it.
void refuse_nodes(const RunOptions& options) {
  config::Sources sources;
  for (const HardwareChange& change : options.what_if.empty()
                                          ? std::vector<HardwareChange>()
                                          : parse_what_if(sources, options.what_if)) {
    if (change.name == "nodes") {
      config::fail_at(change.amount.position, "the number of nodes is what --nodes gives");
    }
  }
}

int scale_command(const ScaleArguments& options, Console& console) {
  if (!options.elasticities && !options.elasticities_csv.empty()) {
    throw ConfigError(
        {Diagnostic{"--elasticities-csv", 0, 0, "", "there is none with --no-elasticities", ""}});
  }
  const std::vector<std::int64_t> sizes = parse_nodes(options.nodes);
  refuse_nodes(options.run);
  LoadedRun base;
  load_run(options.run, base);  // a mistake in the file itself is told once, with its place
  const ScaleStudy study{options, base};
  const auto points = scale(
      sizes, options.jobs, [&](std::int64_t nodes) { return predict(study, nodes, {}, ""); },
      pieces_done_on(console, sizes.size(), "sizes"));
  const std::vector<ScaleRow> rows = judge(points, options.threshold);
  const bool is_asked = options.format != "csv" || !options.elasticities_csv.empty();
  const auto next = is_asked ? what_to_buy(study, rows, console) : std::nullopt;
  print(study, rows, next, console);
  if (next && !options.elasticities_csv.empty()) {
    write_elasticities(options.elasticities_csv, *next);
  }
  const bool has_any = std::any_of(rows.begin(), rows.end(),
                                   [](const ScaleRow& row) { return row.point.is_valid(); });
  return has_any ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_scale(CLI::App& app, Console& console) {
  auto options = std::make_shared<ScaleArguments>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--nodes", options->nodes, "Node counts: \"1,2,4\" or \"2..64\" (doubling)")
      ->capture_default_str();
  app.add_flag("--weak", options->is_weak, "Let the global batch grow with the nodes");
  app.add_option("--efficiency", options->threshold,
                 "Efficiency below which a size is past the knee")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  app.add_flag("--elasticities,!--no-elasticities", options->elasticities,
               "What to buy next: the step time with each number of the hardware improved")
      ->default_str("true");
  app.add_option("--elasticities-csv", options->elasticities_csv,
                 "Write what to buy next to this CSV file");
  app.add_option("--at", options->at, "Nodes at which that is asked; at the knee by default")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  return [options, &console] { return scale_command(*options, console); };
}

}  // namespace foretrain::cli
