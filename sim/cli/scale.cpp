// foretrain scale: one run at several sizes, in worker processes.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/scale.hpp"

#include <memory>
#include <ostream>
#include <thread>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sim/cli/cli.hpp"
#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"

namespace foretrain::cli {
namespace {

struct Options {
  RunOptions run;
  std::string format = "text";
  std::string nodes = "1..64";
  bool is_weak = false;
  double threshold = 0.85;
  std::size_t jobs = std::max(1U, std::thread::hardware_concurrency());
};

std::vector<std::pair<std::string, double>> shares_of(const Breakdown& parts) {
  const double step = parts.step.seconds().value;
  std::vector<std::pair<std::string, double>> shares = {
      {"compute", (parts.compute.seconds().value + parts.recompute.seconds().value) / step},
      {"pipeline bubble", parts.bubble.seconds().value / step},
      {"optimizer", parts.optimizer.seconds().value / step},
      {"host", parts.host.seconds().value / step}};
  if (parts.compression.count > 0) {
    shares.emplace_back("compression", parts.compression.seconds().value / step);
  }
  for (const auto& [axis, time] : parts.exposed) {
    shares.emplace_back(axis + " communication", time.seconds().value / step);
  }
  return shares;
}

// One size; a run that cannot be at this size says why.
ScalePoint predict(const Options& options, std::int64_t base_nodes, std::int64_t nodes) {
  ScalePoint point;
  point.nodes = nodes;
  RunOptions sized = options.run;
  try {
    LoadedRun base;
    load_run(options.run, base);
    point.gpus = nodes * base.run.cluster.gpus_per_node;
    sized.sets.push_back(base.run.gpus > 0 ? fmt::format("gpus={}", point.gpus)
                                           : fmt::format("nodes={}", nodes));
    const std::int64_t batch = base.run.training.global_batch;
    if (options.is_weak) {
      if (batch * nodes % base_nodes != 0) {
        point.refusal = fmt::format("global_batch {} cannot be scaled from {} to {} nodes", batch,
                                    base_nodes, nodes);
        return point;
      }
      sized.sets.push_back(fmt::format("training.global_batch={}", batch * nodes / base_nodes));
    }
    LoadedRun loaded;
    load_run(sized, loaded);
    const Prediction prediction = simulate(loaded.run).prediction;
    point.step_time = prediction.step_time.seconds();
    point.tokens_per_second = prediction.tokens_per_second;
    point.fits = prediction.fits();
    point.shares = shares_of(prediction.breakdown);
  } catch (const ConfigError& error) {
    point.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    point.refusal = fmt::format("internal error: {}", error.what());
  }
  return point;
}

int scale_command(const Options& options, Console& console) {
  const std::vector<std::int64_t> sizes = parse_nodes(options.nodes);
  LoadedRun base;
  load_run(options.run, base);  // a mistake in the file itself is told once, with its place
  const auto points = scale(
      sizes, options.jobs,
      [&](std::int64_t nodes) { return predict(options, base.run.nodes, nodes); },
      pieces_done_on(console, sizes.size(), "sizes"));
  const std::vector<ScaleRow> rows = judge(points, options.threshold);
  if (options.format == "json") {
    console.out << scale_json(rows, options.threshold);
  } else if (options.format == "csv") {
    console.out << scale_csv(rows);
  } else {
    console.out << fmt::format(
                       "{} on {}, {} scaling, {} batch of {} sequences\n", base.run.model.name,
                       base.run.cluster.name, options.is_weak ? "weak" : "strong",
                       options.is_weak ? "growing" : "constant", base.run.training.global_batch)
                << scale_text(rows, options.threshold);
  }
  const bool has_any = std::any_of(rows.begin(), rows.end(),
                                   [](const ScaleRow& row) { return row.point.is_valid(); });
  return has_any ? kGood : kConditionFailed;
}

}  // namespace

std::function<int()> add_scale(CLI::App& app, Console& console) {
  auto options = std::make_shared<Options>();
  add_run_options(app, options->run);
  add_format_option(app, options->format);
  app.add_option("--nodes", options->nodes, "Node counts: \"1,2,4\" or \"2..64\" (doubling)")
      ->capture_default_str();
  app.add_flag("--weak", options->is_weak, "Let the global batch grow with the nodes");
  app.add_option("--efficiency", options->threshold,
                 "Efficiency below which a size is past the knee")
      ->check(CLI::Range(0.01, 1.0))
      ->capture_default_str();
  app.add_option("--jobs", options->jobs, "Worker processes")->check(CLI::Range(1, 1024));
  return [options, &console] { return scale_command(*options, console); };
}

}  // namespace foretrain::cli
