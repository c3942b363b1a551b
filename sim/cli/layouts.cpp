// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/layouts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/cli/economics.hpp"
#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/what_if/hardware.hpp"

namespace foretrain::cli {
namespace {

PlanPoint predict_layout(const RunOptions& open, const std::vector<std::string>& sets) {
  PlanPoint point;
  RunOptions laid_out = open;
  laid_out.sets.insert(laid_out.sets.end(), sets.begin(), sets.end());
  try {
    LoadedRun loaded;
    load_run(laid_out, loaded);
    Prediction prediction = simulate(loaded.run).prediction;
    add_interval(loaded.run, prediction);
    return plan_point(prediction);
  } catch (const ConfigError& error) {
    point.refusal = error.diagnostics().front().message;
  } catch (const std::exception& error) {
    point.refusal = fmt::format("internal error: {}", error.what());
  }
  return point;
}

}  // namespace

RunOptions without_layout(RunOptions options) {
  config::Sources sources;
  config::Value root = config::parse_toml(sources, options.file, config::read_file(options.file));
  config::Table& table = *root.table();
  table.erase(std::remove_if(table.begin(), table.end(),
                             [](const config::Entry& entry) {
                               return entry.key == "nodes" || entry.key == "gpus" ||
                                      entry.key == "parallel" || entry.key == "measured";
                             }),
              table.end());
  options.text = config::to_toml(root);
  return options;
}

// One GPU takes the whole batch at once, so that there are not too many passes to simulate.
void load_open(const RunOptions& open, LoadedRun& loaded) {
  config::Sources scratch;
  const RunFile file = read_run_file(open, scratch);
  RunOptions first = open;
  first.sets.push_back(fmt::format("training.micro_batch={}", file.training.global_batch));
  first.sets.emplace_back("gpus=1");
  try {
    load_run(first, loaded);
  } catch (const ConfigError& error) {
    const bool is_mixed =
        error.diagnostics().front().message.find("mixes its kinds") != std::string::npos;
    if (!is_mixed) {
      throw;
    }
    load_run(open, loaded);
  }
  loaded.run.training.micro_batch = 1;
}

OpenRun open_run_of(const LoadedRun& loaded) {
  OpenRun open{loaded.file, loaded.run, {}, ""};
  open.file.parallel.sequence_parallel = true;
  open.run.parallel.sequence_parallel = true;  // where a layout splits tensors
  return open;
}

FindOptions find_options(const RunOptions& open, std::size_t jobs, Console& console) {
  FindOptions how;
  how.predict = [&open](const std::vector<std::string>& sets) {
    return predict_layout(open, sets);
  };
  how.jobs = jobs;
  how.progress = talk_on(console);
  return how;
}

std::vector<NodeChoice> choose_nodes(const RunOptions& open, std::int64_t nodes,
                                     const FindOptions& how, const EconomicsChoice& economics) {
  LoadedRun base;
  load_open(open, base);
  if (!has_unlike_nodes(base.run.cluster)) {
    return {};
  }
  OpenRun all = open_run_of(base);
  all.run.nodes = nodes;
  config::Sources scratch;
  const Hardware hardware(base.file, scratch, find_catalogue(), directory_of(open), "");
  return node_choices(all, hardware.part_names(), how, [&](const Cluster& cluster) {
    return economics_of(cluster, economics).price;
  });
}

}  // namespace foretrain::cli
