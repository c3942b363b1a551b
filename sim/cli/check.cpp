// foretrain check: reads and resolves a run file, and says what it comes to without simulating it.
// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

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

std::string model_text(const Model& model) {
  return fmt::format(
      "model {}: {} parameters\n  {} layers, hidden {}, heads {} ({} key/value) of {}, ffn {}, "
      "vocabulary {}\n  source: {}\n",
      model.name, with_commas(parameters(model)), model.layers, model.hidden, model.heads,
      model.kv_heads, model.head_dim, model.ffn, model.vocabulary, model.source);
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

struct Options {
  RunOptions run;
  std::string format = "text";
};

int check_command(const Options& options, Console& console) {
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
  auto options = std::make_shared<Options>();
  add_run_options(app, options->run);
  add_format_option(app, options->format, {"text", "json"});
  return [options, &console] { return check_command(*options, console); };
}

}  // namespace foretrain::cli
