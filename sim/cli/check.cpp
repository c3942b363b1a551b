// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <ostream>

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

template <class T>
std::string fact(std::string_view key, const std::string& shown, const config::Sourced<T>& value) {
  return fmt::format("  {} {} ({}): {}\n", key, shown, config::name_of(value.basis), value.source);
}

std::string stack_text(const Stack& stack) {
  return fmt::format("stack {}: {}\n", stack.name, stack.source) +
         fact("optimizer_bytes_per_parameter", fmt::format("{}", stack.optimizer_bytes.value),
              stack.optimizer_bytes) +
         fact("host_per_step", config::show(stack.host_per_step.value), stack.host_per_step) +
         fact("host_per_layer", config::show(stack.host_per_layer.value), stack.host_per_layer) +
         fact("host_per_micro_batch", config::show(stack.host_per_micro_batch.value),
              stack.host_per_micro_batch) +
         fact("gradient_bucket", config::show(stack.bucket.value), stack.bucket) +
         fact("context", config::show(stack.context.value), stack.context);
}

std::string layout_text(const Run& run) {
  std::string text = fmt::format(
      "layout: tensor {} x pipeline {} x data {} = {} GPUs; {} micro-batches of {} sequences\n",
      run.parallel.tensor, run.parallel.pipeline, run.data_parallel(), run.num_gpus(),
      run.num_micro_batches(), run.training.micro_batch);
  for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
    const StageShape shape = stage_shape(run, stage);
    text += fmt::format("  stage {}: {} layers{}{}, {} parameters per GPU\n", stage,
                        shape.layers_per_chunk * shape.chunks,
                        shape.has_embedding ? ", embedding" : "", shape.has_head ? ", head" : "",
                        with_commas(shape.parameters));
  }
  return text + fmt::format("model FLOPs per step: {}, with recomputation {}\n",
                            config::show(model_flops(run)), config::show(hardware_flops(run)));
}

int check_command(const RunOptions& options, Console& console) {
  LoadedRun loaded;
  load_run(options, loaded);
  const Run& run = loaded.run;
  const auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
  console.out << model_text(run.model) << describe(*machine) << stack_text(run.stack)
              << layout_text(run);
  return kGood;
}

}  // namespace

std::function<int()> add_check(CLI::App& app, Console& console) {
  auto options = std::make_shared<RunOptions>();
  add_run_options(app, *options);
  return [options, &console] { return check_command(*options, console); };
}

}  // namespace foretrain::cli
