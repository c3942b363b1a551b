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

std::vector<NodeChoice> choose_nodes(const LoadedRun& base, const RunOptions& open,
                                     std::int64_t nodes, std::size_t candidates, std::size_t jobs) {
  if (!has_unlike_nodes(base.run.cluster)) {
    return {};
  }
  Run run = base.run;
  run.nodes = nodes;
  config::Sources scratch;
  const Hardware hardware(base.file, scratch, find_catalogue(), directory_of(open), "");
  return node_choices(run, hardware.part_names(), candidates, jobs,
                      [&](const auto& sets) { return predict_layout(open, sets); });
}

}  // namespace foretrain::cli
