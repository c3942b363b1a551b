// SPDX-License-Identifier: Apache-2.0
#include "sim/cli/layouts.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/what_if/hardware.hpp"

namespace foretrain::cli {

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

Economics economics_of(const Cluster& cluster, const EconomicsChoice& choice) {
  config::Sources sources;
  return load_economics(sources, data_root() + "/platforms/prices.toml", cluster, choice);
}

std::vector<NodeChoice> choose_nodes(const LoadedRun& base, const RunOptions& open,
                                     const NodeStudy& study) {
  if (!has_unlike_nodes(base.run.cluster)) {
    return {};
  }
  Run run = base.run;
  run.nodes = study.nodes;
  config::Sources scratch;
  const Hardware hardware(base.file, scratch, find_catalogue(), directory_of(open), "");
  return node_choices(
      run, hardware.part_names(), study.candidates, study.jobs,
      [&](const auto& sets) { return predict_layout(open, sets); },
      [&](const Cluster& cluster) { return economics_of(cluster, study.economics).price; });
}

}  // namespace foretrain::cli
