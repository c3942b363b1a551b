// Reads the keys of a run file, with other tools' names for them.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "strategies/plan.hpp"

namespace foretrain {
namespace {

using config::Alias;
using config::Choice;
using config::Range;
using config::Reader;

constexpr std::array<Choice<Dtype>, 4> kPrecisions = {{
    {"bf16", Dtype::bf16},
    {"fp16", Dtype::fp16},
    {"tf32", Dtype::tf32},
    {"fp32", Dtype::fp32},
}};

constexpr std::array<Choice<Optimizer>, 1> kOptimizers = {{{"adam", Optimizer::adam}}};

constexpr std::array<Choice<Recompute>, 3> kRecompute = {{
    {"none", Recompute::none},
    {"selective", Recompute::selective},
    {"full", Recompute::full},
}};

constexpr std::array<Alias, 9> kRunAliases = {{
    {"cluster", "platform"},
    {"system", "platform"},
    {"hardware", "platform"},
    {"num_nodes", "nodes"},
    {"nnodes", "nodes"},
    {"framework", "stack"},
    {"software", "stack"},
    {"parallelism", "[parallel]"},
    {"train", "[training]"},
}};

constexpr std::array<Alias, 14> kTrainingAliases = {{
    {"seq_length", "sequence_length"},
    {"seq_len", "sequence_length"},
    {"max_seq_len", "sequence_length"},
    {"context_length", "sequence_length"},
    {"global_batch_size", "global_batch"},
    {"train_batch_size", "global_batch"},
    {"batch_size", "global_batch"},
    {"micro_batch_size", "micro_batch"},
    {"train_micro_batch_size_per_gpu", "micro_batch"},
    {"dtype", "precision"},
    {"recompute_granularity", "recompute"},
    {"activation_checkpointing", "recompute"},
    {"gradient_checkpointing", "recompute"},
    {"train_tokens", "tokens"},
}};

constexpr std::array<Alias, 20> kParallelAliases = {{
    {"tp", "tensor"},
    {"tensor_parallel", "tensor"},
    {"tensor_parallel_size", "tensor"},
    {"tensor_model_parallel_size", "tensor"},
    {"model_parallel_size", "tensor"},
    {"pp", "pipeline"},
    {"pipeline_parallel", "pipeline"},
    {"pipeline_parallel_size", "pipeline"},
    {"pipeline_model_parallel_size", "pipeline"},
    {"dp", "data"},
    {"data_parallel", "data"},
    {"data_parallel_size", "data"},
    {"vp", "virtual_stages"},
    {"chunks", "virtual_stages"},
    {"num_model_chunks", "virtual_stages"},
    {"virtual_pipeline_model_parallel_size", "virtual_stages"},
    {"zero_stage", "zero"},
    {"sp", "sequence_parallel"},
    {"pipeline_schedule", "schedule"},
    {"zero_optimization", "zero"},
}};

Training read_training(Reader reader, RunFile& file) {
  Training training;
  training.sequence_length = reader.count("sequence_length", Range{1, 10'000'000});
  training.global_batch = reader.count("global_batch", Range{1, 100'000'000});
  training.micro_batch = reader.count("micro_batch", 1, Range{1, 1'000'000});
  training.precision = reader.choice<Dtype>("precision", kPrecisions, Dtype::bf16);
  training.optimizer = reader.choice<Optimizer>("optimizer", kOptimizers, Optimizer::adam);
  training.recompute = reader.choice<Recompute>("recompute", kRecompute, Recompute::none);
  if (const auto tokens = reader.maybe<std::string>("tokens")) {
    training.tokens = config::parse_count(*tokens);
    if (training.tokens.value_or(0) <= 0) {
      reader.fail("tokens",
                  "expected a count such as \"472 G\" or \"1.5 T\", got \"" + *tokens + "\"");
    }
  }
  file.batch_position = reader.position_of("global_batch");
  file.sequence_position = reader.position_of("sequence_length");
  file.precision_position = reader.position_of("precision");
  reader.finish(kTrainingAliases);
  return training;
}

Parallel read_parallel(Reader reader, RunFile& file) {
  Parallel parallel;
  parallel.tensor = reader.count("tensor", 1, Range{1, 4096});
  parallel.pipeline = reader.count("pipeline", 1, Range{1, 4096});
  parallel.data = reader.maybe_count("data", Range{1, 10'000'000});
  parallel.virtual_stages = reader.count("virtual_stages", 1, Range{1, 1024});
  parallel.zero = reader.count("zero", 0, Range{0, 1});
  parallel.sequence_parallel = reader.get<bool>("sequence_parallel", false);
  std::vector<Choice<std::string>> schedules;
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    schedules.push_back({schedule.name, std::string(schedule.name)});
  }
  parallel.schedule = reader.choice<std::string>(
      "schedule", schedules, parallel.virtual_stages > 1 ? "interleaved-1f1b" : "1f1b");
  file.tensor_position = reader.position_of("tensor");
  file.pipeline_position = reader.position_of("pipeline");
  file.data_position = reader.position_of("data");
  file.schedule_position = reader.position_of("schedule");
  file.virtual_stages_position = reader.position_of("virtual_stages");
  file.sequence_parallel_position = reader.position_of("sequence_parallel");
  reader.finish(kParallelAliases);
  return parallel;
}

constexpr std::array<Choice<FlopsCount>, 3> kCounts = {{
    {"model", FlopsCount::model},
    {"hardware", FlopsCount::hardware},
    {"own", FlopsCount::own},
}};

// A key that means something only beside another one.
void refuse_unless(bool is_needed, Reader& reader, std::string_view key, const std::string& other) {
  if (!is_needed && reader.has(key)) {
    reader.fail(key, "has no effect without " + other + "; remove it");
    reader.ignore(key);
  }
}

template <class Quantity>
std::optional<Quantity> maybe_positive(Reader& reader, std::string_view key) {
  auto value = reader.maybe<Quantity>(key);
  if (value && *value <= Quantity(0)) {
    reader.fail(key, "expected more than zero");
  }
  return value;
}

Measured read_measured(Reader reader) {
  Measured measured;
  measured.step_time = maybe_positive<Seconds>(reader, "step_time");
  measured.flops_per_gpu = maybe_positive<FlopsPerSecond>(reader, "flops_per_gpu");
  if (reader.has("flops_per_gpu")) {
    measured.flops_count = reader.choice<FlopsCount>("flops_count", kCounts);
    if (measured.flops_count == FlopsCount::own) {
      measured.flops_per_token = reader.get<Flops>("flops_per_token");
    }
  } else if (!reader.has("step_time")) {
    reader.fail("step_time", "a measurement needs step_time or flops_per_gpu");
  }
  refuse_unless(reader.has("flops_per_gpu"), reader, "flops_count", "flops_per_gpu");
  refuse_unless(measured.flops_count == FlopsCount::own, reader, "flops_per_token",
                "flops_count = \"own\"");
  measured.source = reader.get<std::string>("source");
  reader.finish();
  return measured;
}

}  // namespace

std::string_view name_of(Dtype precision) {
  for (const Choice<Dtype>& choice : kPrecisions) {
    if (choice.value == precision) {
      return choice.name;
    }
  }
  throw InternalError("a precision that no run file can name");
}

RunFile read_run(config::Reader& reader) {
  RunFile file;
  file.model = reader.get<std::string>("model");
  file.platform = reader.get<std::string>("platform");
  file.stack = reader.get<std::string>("stack", "generic");
  file.nodes = reader.maybe_count("nodes", Range{1, 1'000'000});
  file.model_position = reader.position_of("model");
  file.platform_position = reader.position_of("platform");
  file.stack_position = reader.position_of("stack");
  file.nodes_position = reader.position_of("nodes");
  file.training = read_training(reader.child("training"), file);
  if (auto parallel = reader.maybe_child("parallel")) {
    file.parallel = read_parallel(std::move(*parallel), file);
  }
  if (auto measured = reader.maybe_child("measured")) {
    file.measured = read_measured(std::move(*measured));
  }
  reader.finish(kRunAliases);
  return file;
}

}  // namespace foretrain
