// SPDX-License-Identifier: Apache-2.0
#include "validation/live/predict.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/simulate.hpp"
#include "sim/study/workers.hpp"

namespace foretrain::live {
namespace {

Seconds step_time(const RunToPredict& one, const Catalogue& catalogue) {
  config::Sources sources;
  config::Value tree = config::parse_toml(sources, one.path, config::read_file(one.path));
  for (const std::string& set : one.sets) {
    config::apply_set(sources, tree, set);
  }
  config::Diagnostics diagnostics;
  config::Reader reader(tree, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  const std::string folder = std::filesystem::path(one.path).parent_path().string();
  const Run run = resolve(file, sources, catalogue, folder);
  return simulate(run).prediction.step_time.seconds();
}

// From a worker: "=" and the seconds, or "!" and what is wrong.
std::string answer(const RunToPredict& one, const Catalogue& catalogue) {
  try {
    return fmt::format("={}", step_time(one, catalogue).value);
  } catch (const std::exception& error) {
    return fmt::format("!{}", error.what());
  }
}

}  // namespace

std::vector<Seconds> predict(const std::vector<RunToPredict>& runs, const Catalogue& catalogue) {
  const auto answers =
      run_in_workers(runs.size(), std::max(1U, std::thread::hardware_concurrency()),
                     [&](std::size_t i) { return answer(runs[i], catalogue); });
  std::vector<Seconds> times;
  times.reserve(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::string text = answers[i].value_or("!the process that simulated it died");
    if (text.front() != '=') {
      throw ConfigError({Diagnostic{"", 0, 0, "", text.substr(1), ""}});
    }
    times.emplace_back(std::stod(text.substr(1)));
  }
  return times;
}

}  // namespace foretrain::live
