// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <ostream>

#include "sim/cli/cli.hpp"
#include "sim/config/catalogue.hpp"
#include "strategies/collective/collective.hpp"

namespace foretrain::cli {
namespace {

std::string row(std::string_view name, std::string_view sentence) {
  return fmt::format("  {:<24} {}\n", name, sentence);
}

std::string list_models(const Catalogue& catalogue) {
  std::string text;
  for (const std::string& name : config::names_in(catalogue.models)) {
    config::Sources sources;
    const Model model = load_model(sources, name, catalogue.models);
    text += row(name, fmt::format("{:.4g} billion parameters, {} layers, hidden {}",
                                  static_cast<double>(parameters(model)) * 1e-9, model.layers,
                                  model.hidden));
  }
  return text;
}

std::string list_platforms(const Catalogue& catalogue) {
  std::string text;
  for (const std::string& name : config::names_in(catalogue.platforms + "/clusters")) {
    config::Sources sources;
    const Cluster cluster = load_cluster(sources, name, catalogue.platforms);
    text += row(name, fmt::format("{} x {}, {} NICs per node", cluster.gpus_per_node,
                                  cluster.gpu.name, cluster.nics_per_node));
  }
  return text;
}

std::string list_gpus(const Catalogue& catalogue) {
  std::string text;
  for (const std::string& name : config::names_in(catalogue.platforms + "/gpus")) {
    config::Sources sources;
    const Gpu gpu = load_gpu(sources, name, catalogue.platforms);
    text += row(name, fmt::format("{}, {}", config::show(gpu.memory.value),
                                  config::show(gpu.memory_rate.value)));
  }
  return text;
}

std::string list_stacks(const Catalogue& catalogue) {
  std::string text;
  for (const std::string& name : config::names_in(catalogue.stacks)) {
    config::Sources sources;
    text += row(name, load_stack(sources, name, catalogue.stacks).source);
  }
  return text;
}

std::string list_schedules(const Catalogue&) {
  std::string text;
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    text += row(schedule.name, schedule.sentence);
  }
  return text;
}

std::string list_collectives(const Catalogue&) {
  std::string text;
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    text += row(algorithm.name, algorithm.sentence);
  }
  return text;
}

struct Kind {
  std::string_view name;
  std::string (*list)(const Catalogue&);
};

constexpr std::array<Kind, 6> kKinds = {{
    {"models", list_models},
    {"platforms", list_platforms},
    {"gpus", list_gpus},
    {"stacks", list_stacks},
    {"schedules", list_schedules},
    {"collectives", list_collectives},
}};

int list_command(const std::string& chosen, Console& console) {
  const Catalogue catalogue = find_catalogue();
  for (const Kind& kind : kKinds) {
    if (chosen.empty() || chosen == kind.name) {
      console.out << kind.name << '\n' << kind.list(catalogue);
    }
  }
  return kGood;
}

}  // namespace

std::function<int()> add_list(CLI::App& app, Console& console) {
  auto kind = std::make_shared<std::string>();
  std::vector<std::string> names;
  for (const Kind& known : kKinds) {
    names.emplace_back(known.name);
  }
  app.add_option("kind", *kind, "What to list; everything by default")->check(CLI::IsMember(names));
  return [kind, &console] { return list_command(*kind, console); };
}

}  // namespace foretrain::cli
