// SPDX-License-Identifier: Apache-2.0
#include "validation/trainer/plan.hpp"

#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "sim/config/text.hpp"
#include "strategies/load_platform.hpp"
#include "strategies/pipeline/schedule.hpp"
#include "validation/trainer/compress.hpp"

namespace foretrain::trainer {
namespace {

/// Collects refusals, each at the key that asks for what the trainer lacks.
class Refusals {
 public:
  explicit Refusals(config::Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void unless(bool is_possible, const config::Position& position, const std::string& key,
              const std::string& reason) {
    if (!is_possible) {
      diagnostics_.add(config::diagnose(position, key, "the trainer cannot do this: " + reason));
    }
  }

 private:
  config::Diagnostics& diagnostics_;
};

void check_model(const Model& model, const config::Position& position, Refusals& refusals) {
  const auto need = [&](bool is_possible, const std::string& reason) {
    refusals.unless(is_possible, position, "model", reason);
  };
  need(model.mixer.name == "attention" && model.feed_forward.name == "mlp" && !model.moe &&
           !model.vision && model.pattern == LayerPattern{},
       "every layer is attention and a plain MLP");
  need(model.mlp == MlpKind::plain && model.norm == NormKind::layer_norm,
       "the MLP is two matrices with GELU, the norm LayerNorm");
  need(model.position == PositionKind::learned, "positions are learned");
  need(!model.tied_embeddings, "the head has weights of its own: tied_embeddings = false");
  need(model.qkv_bias && model.attention_output_bias && model.mlp_bias,
       "all linear layers have a bias: bias = true");
  need(model.kv_heads == model.heads && model.heads * model.head_dim == model.hidden,
       "every head has keys and values of its own, and heads fill the hidden width");
  need(!model.parallel_residual && !model.embedding_norm && !model.branch_norms && !model.qk_norm &&
           model.sliding_window == 0 && model.multi_token_predictions == 0,
       "a layer is GPT-2's");
}

void check_training(const Plan& plan, const RunFile& file, Type type, Refusals& refusals) {
  const Dtype wanted = type == Type::fp32 ? Dtype::fp32 : Dtype::bf16;
  refusals.unless(plan.training.precision == wanted, file.precision_position, "training.precision",
                  fmt::format("this device trains in {}", foretrain::name_of(wanted)));
  refusals.unless(plan.training.optimizer == "adam" || plan.training.optimizer == "adamw",
                  file.batch_position, "training.optimizer", "the optimizer is adam");
  refusals.unless(plan.training.recompute == Recompute::none ||
                      (plan.training.recompute == Recompute::full &&
                       plan.training.recompute_every == 1 && plan.training.recompute_first == 0),
                  file.batch_position, "training.recompute", "it is none or full, of every layer");
  refusals.unless(plan.training.offload_activations <= 0, file.offload_activations_position,
                  "training.offload_activations", "activations stay on the device");
  refusals.unless(!file.offload.optimizer && !file.offload.parameters, file.batch_position,
                  "offload", "nothing waits on the host");
  refusals.unless(plan.model.max_positions >= plan.training.sequence_length, file.sequence_position,
                  "training.sequence_length",
                  fmt::format("the model has {} positions", plan.model.max_positions));
}

void check_layout(const Plan& plan, const RunFile& file, Refusals& refusals) {
  const Parallel& parallel = plan.parallel;
  refusals.unless(parallel.context == 1, file.context_position, "parallel.context",
                  "a rank holds whole sequences");
  refusals.unless(!parallel.sequence_parallel, file.sequence_parallel_position,
                  "parallel.sequence_parallel", "norms run on all tokens");
  refusals.unless(
      parallel.virtual_stages == 1 && parallel.stage_layers.empty() && !parallel.embedding_as_layer,
      file.virtual_stages_position, "parallel.virtual_stages",
      "a stage holds one chunk of as many layers as every other");
  refusals.unless(parallel.schedule == "1f1b" || parallel.schedule == "gpipe",
                  file.schedule_position, "parallel.schedule", "it is 1f1b or gpipe");
  refusals.unless(!parallel.shard || *parallel.shard == plan.data(), file.shard_position,
                  "parallel.shard", "all replicas share what is sharded");
  refusals.unless(plan.pipeline() == 1 || plan.zero() <= 1, file.zero_position, "parallel.zero",
                  "a pipeline shards the optimizer only");
  const Sharding& keys = plan.sharding;
  refusals.unless(keys.units_in_flight == 2 && keys.forward_prefetch && keys.backward_prefetch &&
                      keys.reshard_after_forward.value_or(true) && !keys.prefetch_bucket &&
                      !keys.max_live && !keys.gather_by_tensor.value_or(false),
                  file.zero_position, "sharding",
                  "ZeRO-3 gathers layer by layer, one layer ahead, in both directions");
  refusals.unless(!keys.overlap_parameters.value_or(plan.stack.overlap_parameters) ||
                      plan.zero() == 0 || plan.zero() == 3,
                  file.zero_position, "sharding.overlap_parameters",
                  "ZeRO-1 and -2 gather right after the update");
  refusals.unless(!plan.sharding.averages() && !plan.sharding.secondary_shard &&
                      plan.sharding.persistence_threshold == Bytes(0),
                  file.zero_position, "sharding",
                  "no averaging, no secondary shards, none that "
                  "stays gathered");
}

void check_compression(const Plan& plan, Refusals& refusals) {
  for (const WirePlace place : kWirePlaces) {
    const auto& position = plan.compression.positions[static_cast<std::size_t>(place)];
    const std::string key = fmt::format("compression.{}", name_of(place));
    const WireCompression* how = plan.compression.at(place);
    refusals.unless(how == nullptr || place == WirePlace::gradients, position, key,
                    "only gradients are compressed");
    refusals.unless(how == nullptr || plan.zero() == 0, position, key,
                    "all-reduced gradients are compressed: parallel.zero = 0");
    const auto reason = how == nullptr ? std::nullopt : refuse(*how);
    refusals.unless(!reason, position, key, reason.value_or(""));
    refusals.unless(how == nullptr || (how->chunks == 1 && !how->between_nodes_only), position, key,
                    "in one piece, between all ranks");
  }
}

void check_degrees(const Plan& plan, const RunFile& file, config::Diagnostics& diagnostics) {
  const auto check = [&](bool is_good, const config::Position& position, const std::string& key,
                         const std::string& message) {
    if (!is_good) {
      diagnostics.add(config::diagnose(position, key, message));
    }
  };
  const std::int64_t model_ranks = plan.parallel.tensor * plan.parallel.pipeline;
  check(plan.ranks % model_ranks == 0, file.tensor_position, "parallel",
        fmt::format("{} tensor x {} pipeline ranks do not divide the {} ranks that were started",
                    plan.parallel.tensor, plan.parallel.pipeline, plan.ranks));
  if (plan.ranks % model_ranks != 0) {
    return;
  }
  check(!plan.parallel.data || *plan.parallel.data == plan.data(), file.data_position,
        "parallel.data", fmt::format("{} replicas are left of {} ranks", plan.data(), plan.ranks));
  check(plan.training.global_batch % (plan.training.micro_batch * plan.data()) == 0,
        file.batch_position, "training.global_batch",
        fmt::format("is no multiple of micro_batch {} x {} replicas", plan.training.micro_batch,
                    plan.data()));
  check(plan.model.layers % plan.parallel.pipeline == 0, file.pipeline_position,
        "parallel.pipeline", fmt::format("does not divide {} layers", plan.model.layers));
  check(plan.model.heads % plan.parallel.tensor == 0 &&
            plan.model.ffn % plan.parallel.tensor == 0 &&
            plan.model.vocabulary % plan.parallel.tensor == 0,
        file.tensor_position, "parallel.tensor",
        fmt::format("does not divide {} heads, {} ffn and {} vocabulary", plan.model.heads,
                    plan.model.ffn, plan.model.vocabulary));
}

}  // namespace

std::vector<Slot> Plan::slots(int stage) const {
  return pipeline_schedule(parallel.schedule)
      .order({pipeline(), 1, static_cast<std::int32_t>(micro_batches()), 0}, stage);
}

Plan read_plan(config::Sources& sources, const std::string& path,
               const std::vector<std::string>& sets, const Catalogue& catalogue, int ranks,
               Type type) {
  config::Value root = config::parse_toml(sources, path, config::read_file(path));
  for (const std::string& assignment : sets) {
    config::apply_set(sources, root, assignment);
  }
  config::Diagnostics diagnostics;
  config::Reader reader(root, "", diagnostics);
  const RunFile file = read_run(reader);
  diagnostics.throw_if_any();
  const std::string directory = std::filesystem::path(path).parent_path().string();
  Plan plan;
  plan.model = file.inline_model
                   ? *file.inline_model
                   : load_model(sources, beside(file.model, directory), catalogue.models);
  plan.stack = load_stack(sources, beside(file.stack, directory), catalogue.stacks,
                          file.stack_overrides ? &*file.stack_overrides : nullptr);
  plan.training = file.training;
  plan.parallel = file.parallel;
  plan.sharding = file.sharding;
  plan.compression = file.compression;
  plan.ranks = ranks;
  check_degrees(plan, file, diagnostics);
  diagnostics.throw_if_any();
  Refusals refusals(diagnostics);
  check_model(plan.model, file.model_position, refusals);
  check_training(plan, file, type, refusals);
  check_layout(plan, file, refusals);
  check_compression(plan, refusals);
  diagnostics.throw_if_any();
  return plan;
}

}  // namespace foretrain::trainer
