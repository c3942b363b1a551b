// foretrain check: reads and resolves a run file, or a platform alone, and says what it comes to
// without simulating it.
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "models/blocks/catalog.hpp"
#include "sim/cli/cli.hpp"
#include "sim/config/quantity.hpp"
#include "strategies/lower.hpp"
#include "strategies/stage.hpp"

namespace foretrain::cli {
namespace {

std::string with_commas(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return digits;
}

// One line for each kind of layer, where there are several.
std::string kinds_text(const Model& model) {
  std::string text;
  for (std::size_t kind = 0; num_layer_kinds(model) > 1 && kind < num_layer_kinds(model); ++kind) {
    const Model alike = layer_model(model, kind);
    text += fmt::format(
        "  {} of the layers: {}{}, {}\n", layers_of_kind(model, kind), mixer_of(alike).name,
        alike.sliding_window > 0 ? fmt::format(" over {} tokens", alike.sliding_window) : "",
        feed_forward_of(alike).name);
  }
  return text;
}

std::string model_text(const Model& model) {
  std::string activated = model.moe ? fmt::format(", {} activated for each token",
                                                  with_commas(activated_parameters(model)))
                                    : "";
  if (model.multi_token_predictions > 0) {
    activated += fmt::format(", {} only for tokens beyond the next",
                             with_commas(multi_token_parameters(model)));
  }
  return fmt::format(
             "model {}: {} parameters{}\n  {} layers, hidden {}, heads {} ({} key/value) of {}, "
             "ffn {}, vocabulary {}\n",
             model.name, with_commas(parameters(model)), activated, model.layers, model.hidden,
             model.heads, model.kv_heads, model.head_dim, model.ffn, model.vocabulary) +
         kinds_text(model) + fmt::format("  source: {}\n", model.source);
}

std::string stack_text(const Stack& stack) {
  return fmt::format("stack {}\n  source: {}\n", stack.name, stack.source) +
         fact_table(facts(stack));
}

std::string layout_text(const Run& run) {
  std::string text = fmt::format(
      "layout: tensor {} x pipeline {}{} x data {} = {} GPUs; {} micro-batches of {} sequences\n",
      run.parallel.tensor, run.parallel.pipeline,
      run.parallel.context > 1 ? fmt::format(" x context {}", run.parallel.context) : "",
      run.data_parallel(), run.num_gpus(), run.num_micro_batches(), run.training.micro_batch);
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    const StageShape shape = stage_shape(run, stage);
    text += fmt::format("  stage {}: {} layers{}{}, {} parameters per GPU\n", stage,
                        shape.num_layers(), shape.has_embedding ? ", embedding" : "",
                        shape.has_head ? ", head" : "", with_commas(shape.parameters));
  }
  return text + fmt::format("model FLOPs per step: {}, with recomputation {}\n",
                            config::show(model_flops(run)), config::show(hardware_flops(run)));
}

std::string variation_text(const Variation& variation) {
  std::string text;
  for (const std::string& line : describe(variation)) {
    text += (text.empty() ? "variation:\n  " : "  ") + line + "\n";
  }
  return text;
}

nlohmann::ordered_json json_of(const std::vector<Fact>& facts) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  for (const Fact& fact : facts) {
    json[fact.name] = {
        {"value", fact.value}, {"basis", config::name_of(fact.basis)}, {"source", fact.source}};
  }
  return json;
}

std::string check_json(const Run& run) {
  const nlohmann::ordered_json json = {
      {"model", {{"name", run.model.name}, {"parameters", parameters(run.model)}}},
      {"gpus", run.num_gpus()},
      {"tensor", run.parallel.tensor},
      {"pipeline", run.parallel.pipeline},
      {"context", run.parallel.context},
      {"data", run.data_parallel()},
      {"micro_batches", run.num_micro_batches()},
      {"model_flops_per_step", model_flops(run).value},
      {"hardware_flops_per_step", hardware_flops(run).value},
      {"platform", json_of(facts(run.cluster))},
      {"stack", json_of(facts(run.stack))}};
  // A file name may be any bytes; JSON is UTF-8.
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::ordered_json json_of(const Cluster& kind, std::int64_t nodes) {
  return {{"nodes", nodes},
          {"gpus_per_node", kind.gpus_per_node},
          {"gpu", kind.gpu.name},
          {"nics_per_node", kind.nics_per_node},
          {"inside", kind.node_wiring->name()}};
}

std::string platform_json(const Machine& machine, std::int64_t nodes) {
  const Cluster& cluster = machine.cluster();
  nlohmann::ordered_json kinds = nlohmann::ordered_json::array();
  const std::vector<const Cluster*> all = cluster.kinds();
  const std::vector<std::int64_t> counts = cluster.nodes_of_kinds(nodes);
  for (std::size_t i = 0; i < all.size(); ++i) {
    kinds.push_back(json_of(*all[i], counts[i]));
  }
  const nlohmann::ordered_json json = {{"name", cluster.name},
                                       {"source", cluster.source},
                                       {"nodes", nodes},
                                       {"gpus", machine.num_devices()},
                                       {"links", machine.network().links.size()},
                                       {"kinds", kinds},
                                       {"between", cluster.fabric_wiring->name()},
                                       {"platform", json_of(facts(cluster))}};
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

struct CheckArguments {
  RunOptions run;
  std::string platform;
  std::int64_t nodes = 0;  // 0: the platform's default
  std::string format = "text";
};

void check_size(const Cluster& cluster, std::int64_t nodes) {
  config::Diagnostics diagnostics;
  const std::int64_t unit = cluster.node_unit();
  if (nodes % unit != 0) {
    diagnostics.add({}, "nodes",
                    fmt::format("'{}' mixes its kinds of nodes {} at a time: {} is no multiple of "
                                "that",
                                cluster.name, unit, nodes));
  }
  const auto of_fabric = static_cast<std::int64_t>(cluster.fabric_wiring->max_nodes());
  for (const std::int64_t most : {cluster.max_nodes, of_fabric}) {
    if (most > 0 && nodes > most) {
      diagnostics.add({}, "nodes",
                      fmt::format("'{}' has at most {} nodes, got {}", cluster.name, most, nodes));
      break;
    }
  }
  diagnostics.throw_if_any();
}

int check_platform(const CheckArguments& options, Console& console) {
  config::Sources sources;
  const Cluster cluster = load_cluster(sources, options.platform, find_catalogue().platforms);
  const std::int64_t nodes = options.nodes > 0 ? options.nodes : cluster.nodes;
  check_size(cluster, nodes);
  const auto machine = build_machine(cluster, static_cast<std::size_t>(nodes));
  console.out << (options.format == "json" ? platform_json(*machine, nodes) : describe(*machine));
  return kGood;
}

int check_command(const CheckArguments& options, Console& console) {
  if (!options.platform.empty()) {
    return check_platform(options, console);
  }
  LoadedRun loaded;
  load_run(options.run, loaded);
  const Run& run = loaded.run;
  if (options.format == "json") {
    console.out << check_json(run);
    return kGood;
  }
  const auto machine = build_machine(run);
  console.out << model_text(run.model) << describe(*machine) << stack_text(run.stack)
              << layout_text(run) << variation_text(run.variation);
  return kGood;
}

}  // namespace

std::function<int()> add_check(CLI::App& app, Console& console) {
  auto options = std::make_shared<CheckArguments>();
  CLI::Option_group* const what = app.add_option_group("What to check");
  what->add_option("run", options->run.file, "Run file (TOML)");
  CLI::Option* const platform =
      what->add_option("--platform", options->platform,
                       "A platform alone: a name from `foretrain list platforms`, or a .toml");
  what->require_option(1);
  add_set_option(app, options->run)->excludes(platform);
  app.add_option("--nodes", options->nodes,
                 "How many nodes of it; the platform's default if not given")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000}))
      ->needs(platform);
  add_format_option(app, options->format, {"text", "json"});
  return [options, &console] { return check_command(*options, console); };
}

}  // namespace foretrain::cli
