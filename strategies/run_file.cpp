// Reads the keys of a run file, with other tools' names for them.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "sim/config/text.hpp"
#include "strategies/pipeline/keys.hpp"
#include "strategies/plan.hpp"
#include "strategies/recompute/recompute.hpp"

namespace foretrain {
namespace {

using config::Alias;
using config::Choice;
using config::Range;
using config::Reader;

constexpr std::array<Choice<Dtype>, 6> kPrecisions = {{
    {"bf16", Dtype::bf16},
    {"fp16", Dtype::fp16},
    {"tf32", Dtype::tf32},
    {"fp32", Dtype::fp32},
    {"fp8", Dtype::fp8},
    {"fp4", Dtype::fp4},
}};

constexpr std::array<Alias, 15> kRunAliases = {{
    {"compress", "[compression]"},
    {"compressors", "[compression]"},
    {"cluster", "platform"},
    {"system", "platform"},
    {"hardware", "platform"},
    {"num_nodes", "nodes"},
    {"nnodes", "nodes"},
    {"framework", "stack"},
    {"software", "stack"},
    {"parallelism", "[parallel]"},
    {"train", "[training]"},
    {"collective", "[collectives]"},
    {"failures", "[reliability]"},
    {"goodput", "[reliability]"},
    {"fault_tolerance", "[reliability]"},
}};

constexpr auto kTrainingAliases = std::to_array<Alias>({
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
    {"capacity_factor", "expert_capacity"},
    {"moe_expert_capacity_factor", "expert_capacity"},
    {"pad_to_capacity", "pad_experts"},
    {"moe_pad_expert_input_to_capacity", "pad_experts"},
    {"grad_dtype", "gradient_dtype"},
    {"grad_reduce_dtype", "gradient_dtype"},
    {"main_grads_dtype", "main_gradient_dtype"},
    {"main_params_dtype", "master_dtype"},
    {"exp_avg_dtype", "state_dtype"},
    {"fp8_param_gather", "parameter_gather_dtype"},
    {"optimizer_name", "optimizer"},
    {"recompute_num_layers", "recompute_first"},
    {"peft", "[training.lora]"},
    {"freeze", "frozen"},
    {"load_in_4bit", "weight_dtype"},
    {"load_in_8bit", "weight_dtype"},
    {"cpu_offloading", "offload_activations"},
    {"cpu_checkpointing", "offload_activations"},
});

constexpr auto kParallelAliases = std::to_array<Alias>({
    {"tp", "tensor"},
    {"tensor_parallel", "tensor"},
    {"tensor_parallel_size", "tensor"},
    {"tensor_model_parallel_size", "tensor"},
    {"model_parallel_size", "tensor"},
    {"pp", "pipeline"},
    {"pipeline_parallel", "pipeline"},
    {"pipeline_parallel_size", "pipeline"},
    {"pipeline_model_parallel_size", "pipeline"},
    {"cp", "context"},
    {"context_parallel", "context"},
    {"context_parallel_size", "context"},
    {"dp", "data"},
    {"data_parallel", "data"},
    {"data_parallel_size", "data"},
    {"vp", "virtual_stages"},
    {"chunks", "virtual_stages"},
    {"num_model_chunks", "virtual_stages"},
    {"virtual_pipeline_model_parallel_size", "virtual_stages"},
    {"microbatch_group_size_per_vp_stage", "micro_batch_group"},
    {"microbatch_group_size_per_virtual_pipeline_stage", "micro_batch_group"},
    {"microbatches_per_round", "micro_batch_group"},
    {"pipeline_parallel_schedule", "schedule"},
    {"zero_stage", "zero"},
    {"data_parallel_shard_degree", "shard"},
    {"dp_shard", "shard"},
    {"sharding_group", "shard"},
    {"fsdp", "zero"},
    {"sp", "sequence_parallel"},
    {"pipeline_schedule", "schedule"},
    {"zero_optimization", "zero"},
    {"account_for_embedding_in_pipeline_split", "embedding_as_layer"},
    {"pipeline_model_parallel_layout", "stage_layers"},
    {"ep", "expert"},
    {"expert_parallel", "expert"},
    {"expert_parallel_size", "expert"},
    {"expert_model_parallel_size", "expert"},
    {"etp", "expert_tensor"},
    {"expert_tensor_parallel_size", "expert_tensor"},
    {"cp_comm_type", "context_kind"},
    {"context_parallel_algorithm", "context_kind"},
    {"rank_order", "order"},
});

std::string read_optimizer(Reader& reader) {
  std::vector<Choice<std::string>> names;
  names.reserve(optimizers().size());
  for (const OptimizerAlgorithm& row : optimizers()) {
    names.push_back({row.name, std::string(row.name)});
  }
  return reader.choice<std::string>("optimizer", names, "adam");
}

Training read_training(Reader reader, RunFile& file) {
  Training training;
  training.sequence_length = reader.count("sequence_length", Range{1, 10'000'000});
  training.global_batch = reader.count("global_batch", Range{1, 100'000'000});
  training.micro_batch = reader.count("micro_batch", 1, Range{1, 1'000'000});
  training.precision = reader.choice<Dtype>("precision", kPrecisions, Dtype::bf16);
  training.optimizer = read_optimizer(reader);
  training.widths = read_state_widths(reader);
  read_recompute(reader, training);
  training.tuning = read_tuning(reader);
  training.offload_activations = reader.get<double>("offload_activations", 0);
  if (training.offload_activations < 0 || training.offload_activations > 1) {
    reader.fail("offload_activations", "expected a share from 0 to 1");
  }
  file.offload_activations_position = reader.position_of("offload_activations");
  if (const auto tokens = reader.maybe<std::string>("tokens")) {
    training.tokens = config::parse_count(*tokens);
    if (training.tokens.value_or(0) <= 0) {
      reader.fail("tokens",
                  "expected a count such as \"472 G\" or \"1.5 T\", got \"" + *tokens + "\"");
    }
  }
  training.expert_capacity = read_expert_capacity(reader);
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
  parallel.context = reader.count("context", 1, Range{1, 4096});
  parallel.zero = reader.count("zero", 0, Range{0, 3});
  parallel.shard = reader.maybe_count("shard", Range{1, 10'000'000});
  parallel.sequence_parallel = reader.get<bool>("sequence_parallel", false);
  read_schedule(reader, parallel, file);
  parallel.stage_layers = reader.counts("stage_layers", Range{0, 100'000});
  parallel.embedding_as_layer = reader.get<bool>("embedding_as_layer", false);
  parallel.experts = read_expert_keys(reader);
  parallel.grid = read_grid_keys(reader);
  file.stage_layers_position = reader.position_of("stage_layers");
  file.embedding_as_layer_position = reader.position_of("embedding_as_layer");
  file.tensor_position = reader.position_of("tensor");
  file.pipeline_position = reader.position_of("pipeline");
  file.context_position = reader.position_of("context");
  file.data_position = reader.position_of("data");
  file.zero_position = reader.position_of("zero");
  file.shard_position = reader.position_of("shard");
  file.sequence_parallel_position = reader.position_of("sequence_parallel");
  reader.finish(kParallelAliases);
  return parallel;
}

constexpr std::array<Alias, 8> kCollectiveAliases = {{
    {"allreduce", "all_reduce"},
    {"allgather", "all_gather"},
    {"all-reduce", "all_reduce"},
    {"all-gather", "all_gather"},
    {"reduce-scatter", "reduce_scatter"},
    {"reducescatter", "reduce_scatter"},
    {"alltoall", "all_to_all"},
    {"bcast", "broadcast"},
}};

std::vector<ForcedCollective> read_collectives(Reader reader) {
  std::vector<ForcedCollective> forced;
  for (const CollectiveKind kind : kCollectiveKinds) {
    std::vector<Choice<const CollectiveAlgorithm*>> choices;
    for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
      if (algorithm.kinds.contains(kind)) {
        choices.push_back({algorithm.name, &algorithm});
      }
    }
    const std::string key(name_of(kind));
    const CollectiveAlgorithm* const algorithm =
        reader.choice<const CollectiveAlgorithm*>(key, choices, nullptr);
    if (algorithm != nullptr) {
      forced.push_back({kind, algorithm,
                        config::diagnose(reader.position_of(key), reader.path() + "." + key, "")});
    }
  }
  reader.finish(kCollectiveAliases);
  return forced;
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

constexpr std::array<Choice<MemoryKind>, 2> kMemoryKinds = {{
    {"allocator", MemoryKind::allocator},
    {"device", MemoryKind::device},
}};

void read_measured_rate(Reader& reader, Measured& measured) {
  measured.flops_per_gpu = maybe_positive<FlopsPerSecond>(reader, "flops_per_gpu");
  if (reader.has("flops_per_gpu")) {
    measured.flops_count = reader.choice<FlopsCount>("flops_count", kCounts);
    if (measured.flops_count == FlopsCount::own) {
      measured.flops_per_token = reader.get<Flops>("flops_per_token");
    }
  }
  refuse_unless(reader.has("flops_per_gpu"), reader, "flops_count", "flops_per_gpu");
  refuse_unless(measured.flops_count == FlopsCount::own, reader, "flops_per_token",
                "flops_count = \"own\"");
}

void read_measured_memory(Reader& reader, Measured& measured) {
  measured.peak_memory = maybe_positive<Bytes>(reader, "peak_memory");
  if (reader.has("peak_memory")) {
    measured.memory_kind = reader.choice<MemoryKind>("memory_kind", kMemoryKinds);
  }
  refuse_unless(reader.has("peak_memory"), reader, "memory_kind", "peak_memory");
  measured.fits = reader.maybe<bool>("fits");
}

Measured read_measured(Reader reader) {
  Measured measured;
  measured.step_time = maybe_positive<Seconds>(reader, "step_time");
  measured.tokens_per_second_per_gpu = reader.maybe<double>("tokens_per_second_per_gpu");
  if (measured.tokens_per_second_per_gpu.value_or(1) <= 0) {
    reader.fail("tokens_per_second_per_gpu", "expected more than zero");
  }
  measured.layer_time = maybe_positive<Seconds>(reader, "layer_time");
  read_measured_rate(reader, measured);
  read_measured_memory(reader, measured);
  const bool is_empty = !reader.has("step_time") && !reader.has("tokens_per_second_per_gpu") &&
                        !reader.has("layer_time") && !reader.has("flops_per_gpu") &&
                        !reader.has("peak_memory") && !reader.has("fits");
  if (is_empty) {
    reader.fail("step_time",
                "a measurement needs one of step_time, tokens_per_second_per_gpu, flops_per_gpu, "
                "layer_time, peak_memory or fits");
  }
  measured.source = reader.get<std::string>("source");
  measured.group = reader.get<std::string>("group", "");
  measured.sweep = reader.get<std::string>("sweep", "");
  measured.quality = reader.get<std::string>("quality", "");
  measured.notes = reader.get<std::string>("notes", "");
  if (reader.has("record")) {  // how it was measured, in words: nothing is computed from it
    (void)reader.maybe_tree("record");
  }
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
  if (reader.is_table("model")) {
    Reader table = reader.child("model");
    file.inline_model = read_model(table);
  } else {
    file.model = reader.get<std::string>("model");
  }
  file.platform = reader.get<std::string>("platform");
  file.stack = reader.get<std::string>("stack", "generic");
  file.nodes = reader.maybe_count("nodes", Range{1, 1'000'000});
  file.gpus = reader.maybe_count("gpus", Range{1, 10'000'000});
  if (file.nodes && file.gpus) {
    reader.fail("gpus", "nodes and gpus say the same thing; give one of them");
  }
  file.model_position = reader.position_of("model");
  file.platform_position = reader.position_of("platform");
  file.stack_position = reader.position_of("stack");
  file.nodes_position = reader.position_of("nodes");
  file.gpus_position = reader.position_of("gpus");
  file.training = read_training(reader.child("training"), file);
  if (auto parallel = reader.maybe_child("parallel")) {
    file.parallel = read_parallel(std::move(*parallel), file);
  }
  if (auto sharding = reader.maybe_child("sharding")) {
    file.sharding = read_sharding(std::move(*sharding));
  }
  if (auto offload = reader.maybe_child("offload")) {
    file.offload = read_offload(std::move(*offload));
  }
  if (auto collectives = reader.maybe_child("collectives")) {
    file.collectives = read_collectives(std::move(*collectives));
  }
  if (auto compression = reader.maybe_child("compression")) {
    file.compression = read_compression(std::move(*compression));
  }
  if (auto variation = reader.maybe_child("variation")) {
    file.variation = read_variation(std::move(*variation), file.variation_places);
  }
  if (auto overrides = reader.maybe_child("override")) {
    file.stack_overrides = overrides->maybe_tree("stack");
    file.platform_overrides = overrides->maybe_tree("platform");
    file.gpu_overrides = overrides->maybe_tree("gpu");
    overrides->finish();
  }
  if (auto generation = reader.maybe_child("generation")) {
    file.generation = read_generation(std::move(*generation));
  }
  if (auto measured = reader.maybe_child("measured")) {
    file.measured = read_measured(std::move(*measured));
  }
  file.reliability = reader.maybe_tree("reliability");
  reader.finish(kRunAliases);
  return file;
}

}  // namespace foretrain
