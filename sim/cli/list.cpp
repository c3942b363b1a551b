// foretrain list: what the catalogues and tables hold, by kind.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/blocks/catalog.hpp"
#include "sim/cli/cli.hpp"
#include "sim/config/catalogue.hpp"
#include "strategies/collective/collective.hpp"
#include "strategies/optimizer/optimizer.hpp"
#include "strategies/parallel/context/kind.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain::cli {
namespace {

struct Row {
  std::string name;
  std::string sentence;
};
using Rows = std::vector<Row>;

Rows list_models(const Catalogue& catalogue) {
  Rows rows;
  for (const std::string& name : config::names_in(catalogue.models)) {
    config::Sources sources;
    const Model model = load_model(sources, name, catalogue.models);
    const std::string activated =
        model.moe ? fmt::format(" ({:.4g} for each token)",
                                static_cast<double>(activated_parameters(model)) * 1e-9)
                  : "";
    const std::int64_t count = parameters(model) - multi_token_parameters(model);
    rows.push_back({name, fmt::format("{:.4g} billion parameters{}, {} layers, hidden {}",
                                      static_cast<double>(count) * 1e-9, activated, model.layers,
                                      model.hidden)});
  }
  return rows;
}

std::string node_sentence(const Cluster& kind) {
  return fmt::format("{} x {}, {} NIC{} per node, {}", kind.gpus_per_node, kind.gpu.name,
                     kind.nics_per_node, kind.nics_per_node == 1 ? "" : "s",
                     kind.node_wiring->name());
}

std::string platform_sentence(const Cluster& cluster) {
  std::string sentence;
  for (const ClusterPart& part : cluster.parts) {
    sentence += fmt::format("{}{} of {}", sentence.empty() ? "" : " + ", part.nodes,
                            node_sentence(*part.cluster));
  }
  if (cluster.parts.empty()) {
    sentence = node_sentence(cluster);
  }
  const std::size_t slow = cluster.slow_ports.size();
  return fmt::format("{}; {}{}", sentence, cluster.fabric_wiring->name(),
                     slow == 0 ? "" : fmt::format(", {} slow port{}", slow, slow == 1 ? "" : "s"));
}

Rows list_platforms(const Catalogue& catalogue) {
  Rows rows;
  for (const std::string& name : config::names_in(catalogue.platforms + "/clusters")) {
    config::Sources sources;
    const Cluster cluster = load_cluster(sources, name, catalogue.platforms);
    rows.push_back({name, platform_sentence(cluster)});
  }
  return rows;
}

Rows list_gpus(const Catalogue& catalogue) {
  Rows rows;
  for (const std::string& name : config::names_in(catalogue.platforms + "/gpus")) {
    config::Sources sources;
    const Gpu gpu = load_gpu(sources, name, catalogue.platforms);
    rows.push_back({name, fmt::format("{}, {}", config::show(gpu.memory.value),
                                      config::show(gpu.memory_rate.value))});
  }
  return rows;
}

template <class Table>
Rows rows_of(const Table& table) {
  Rows rows;
  for (const auto& row : table) {
    rows.push_back({std::string(row.name), std::string(row.sentence)});
  }
  return rows;
}

Rows list_node_topologies(const Catalogue&) { return rows_of(node_topologies()); }
Rows list_fabric_topologies(const Catalogue&) { return rows_of(fabric_topologies()); }

Rows list_stacks(const Catalogue& catalogue) {
  Rows rows;
  for (const std::string& name : config::names_in(catalogue.stacks)) {
    config::Sources sources;
    rows.push_back({name, load_stack(sources, name, catalogue.stacks).source});
  }
  return rows;
}

Rows list_reliability(const Catalogue& catalogue) {
  const std::string folder = catalogue.platforms + "/reliability";
  Rows rows;
  for (const std::string& name : config::names_in(folder)) {
    rows.push_back({name, goodput::reliability_sentence(name, folder)});
  }
  return rows;
}

Rows list_blocks(const Catalogue&) { return rows_of(block_kinds()); }

Rows list_schedules(const Catalogue&) { return rows_of(pipeline_schedules()); }

Rows list_optimizers(const Catalogue&) { return rows_of(optimizers()); }

Rows list_collectives(const Catalogue&) {
  Rows rows;
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    std::string kinds;
    for (const CollectiveKind kind : kCollectiveKinds) {
      if (algorithm.kinds.contains(kind)) {
        kinds += (kinds.empty() ? "" : ", ") + std::string(name_of(kind));
      }
    }
    rows.push_back({std::string(algorithm.name), fmt::format("{}: {}", algorithm.sentence, kinds)});
  }
  return rows;
}

Rows list_contexts(const Catalogue&) { return rows_of(context_kinds()); }
Rows list_dispatches(const Catalogue&) { return rows_of(expert_dispatches()); }
Rows list_compressors(const Catalogue&) {
  Rows rows;
  for (const Compressor& row : compressors()) {
    std::string places;
    for (const WirePlace place : kWirePlaces) {
      if (row.places.contains(place)) {
        places += (places.empty() ? "" : ", ") + std::string(name_of(place));
      }
    }
    rows.push_back({std::string(row.name),
                    fmt::format("{}: {}; sums by {}", row.sentence, places, name_of(row.summing))});
  }
  return rows;
}

struct Kind {
  std::string_view name;
  Rows (*list)(const Catalogue&);
};

constexpr auto kKinds = std::to_array<Kind>({
    {"models", list_models},
    {"blocks", list_blocks},
    {"platforms", list_platforms},
    {"gpus", list_gpus},
    {"nodes", list_node_topologies},
    {"fabrics", list_fabric_topologies},
    {"stacks", list_stacks},
    {"reliability", list_reliability},
    {"schedules", list_schedules},
    {"optimizers", list_optimizers},
    {"collectives", list_collectives},
    {"contexts", list_contexts},
    {"dispatches", list_dispatches},
    {"compressors", list_compressors},
});

struct ListArguments {
  std::string kind;  // empty: all
  std::string format = "text";
};

std::string text_of(std::string_view kind, const Rows& rows) {
  std::string text = fmt::format("{}\n", kind);
  for (const Row& row : rows) {
    text += fmt::format("  {:<24} {}\n", row.name, row.sentence);
  }
  return text;
}

int list_command(const ListArguments& options, Console& console) {
  const Catalogue catalogue = find_catalogue();
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Kind& kind : kKinds) {
    if (!options.kind.empty() && options.kind != kind.name) {
      continue;
    }
    const Rows rows = kind.list(catalogue);
    if (options.format == "text") {
      console.out << text_of(kind.name, rows);
    }
    for (const Row& row : rows) {
      json[std::string(kind.name)][row.name] = row.sentence;
    }
  }
  if (options.format == "json") {
    console.out << json.dump(2) << '\n';
  }
  return kGood;
}

}  // namespace

std::function<int()> add_list(CLI::App& app, Console& console) {
  auto options = std::make_shared<ListArguments>();
  std::vector<std::string> names;
  names.reserve(kKinds.size());
  for (const Kind& known : kKinds) {
    names.emplace_back(known.name);
  }
  app.add_option("kind", options->kind, "What to list; everything by default")
      ->check(CLI::IsMember(names));
  add_format_option(app, options->format, {"text", "json"});
  return [options, &console] { return list_command(*options, console); };
}

}  // namespace foretrain::cli
