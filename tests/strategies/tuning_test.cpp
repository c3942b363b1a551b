// Fine-tuning runs: what frozen parts save in memory, traffic and FLOPs, and what is refused.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/tuning.hpp"

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

Run lora_run(std::int64_t tensor, std::int64_t pipeline, std::int64_t data) {
  Run run = small_run(tensor, pipeline, data);
  run.training.tuning.lora_rank = 8;
  run.training.tuning.lora_targets = {"qkv", "projection", "mlp"};
  return run;
}

std::string error(const std::string& keys, const std::string& parallel = "") {
  return run_error("micro_batch = 4\n\n[parallel]",
                   "micro_batch = 4\n" + keys + "\n[parallel]\n" + parallel);
}

}  // namespace

TEST_CASE("LoRA holds gradients and optimizer states of its adapters alone", "[strategies]") {
  const Run run = lora_run(1, 1, 2);
  const Program program = lower(run);
  const StageShape shape = stage_shape(run, 0);
  const auto psi = static_cast<double>(shape.parameters);
  // 16 h r in each of 8 layers of h = 64.
  const double adapters = 8 * 16 * 64 * 8;
  CHECK(static_cast<double>(shape.trained()) == adapters);
  CHECK(resident(program, Rank(0), MemoryClass::parameters).value == 2 * psi);
  CHECK(resident(program, Rank(0), MemoryClass::gradients).value == 4 * adapters);
  CHECK(resident(program, Rank(0), MemoryClass::optimizer).value == 12 * adapters);
  CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_reduce).bytes.value ==
        4 * adapters);
}

TEST_CASE("replicated halves of adapters are summed over tensor parallelism", "[strategies]") {
  const auto sums = [](const Run& run) {
    return collectives(lower(run), Rank(0), "tensor", CollectiveKind::all_reduce, Phase::optimizer)
        .bytes;
  };
  const Run run = lora_run(2, 1, 1);
  CHECK(sums(run).value == 4 * static_cast<double>(stage_shape(run, 0).repeated));
  CHECK(sums(small_run(2, 1, 1)) == Bytes(0));
}

TEST_CASE("a frozen layer is 4 FLOPs per parameter and token, 2 where no gradient passes",
          "[strategies]") {
  Run run = small_run(1, 1, 1);
  const double sequences = 8;
  const std::int64_t s = run.training.sequence_length;
  const Flops core = attention_core_flops(run.model, s);
  const Flops head = head_flops(run.model, s);
  const Flops products = forward_flops(run.model, s) - core - head;
  CHECK(model_flops(run) == sequences * (3.0 * (products + core + head)));
  run.training.tuning.frozen = {ModelPart::layers};
  CHECK(model_flops(run) == sequences * (2.0 * products + 3.0 * core + 3.0 * head));
  run.training.tuning.frozen = {ModelPart::layers, ModelPart::embedding};
  CHECK(model_flops(run) == sequences * (products + core + 3.0 * head));
  run.training.tuning.frozen = {ModelPart::head};
  CHECK(model_flops(run) == sequences * (3.0 * products + 3.0 * core + 2.0 * head));
  // Adapters: three times 2 s r 16 h in each of 8 layers.
  const Run adapted = lora_run(1, 1, 1);
  const Flops adapters(2.0 * static_cast<double>(s) * 8 * 16 * 64 * 8);
  CHECK(model_flops(adapted) ==
        sequences * (2.0 * products + 3.0 * core + 2.0 * head + 3.0 * adapters));
}

TEST_CASE("fine-tuning is quicker and smaller the more is frozen", "[strategies]") {
  const Played whole = play_run(small_run(1, 2, 2));
  Run embedding = small_run(1, 2, 2);
  embedding.model.tied_embeddings = false;
  const Seconds untied = play_run(embedding).timeline.end;
  embedding.training.tuning.frozen = {ModelPart::embedding};
  CHECK(play_run(embedding).timeline.end < untied);
  const Played lora = play_run(lora_run(1, 2, 2));
  CHECK(resident(lora.program, Rank(0), MemoryClass::optimizer) <
        resident(whole.program, Rank(0), MemoryClass::optimizer));
}

TEST_CASE("quantised weights take their bytes and time to be written out", "[strategies]") {
  Run run = lora_run(1, 1, 1);
  const Seconds wide = play_run(run).timeline.end;
  const StageShape shape = stage_shape(run, 0);
  run.training.tuning.weights = weight_formats()[1];
  // 4 bits and 0.127 of scales; of 12 h^2 weights in each of 8 layers.
  const double weights = 8 * 12 * 64 * 64;
  const double bytes = 0.5 + 0.127 / 8;
  const double others = 2 * (static_cast<double>(shape.parameters) - weights);
  CHECK(resident(lower(run), Rank(0), MemoryClass::parameters).value ==
        Catch::Approx(others + weights * bytes).epsilon(1e-4));
  CHECK(play_run(run).timeline.end > wide);
}

TEST_CASE("with embedding and layers frozen only the head has a backward pass", "[strategies]") {
  Run run = small_run(1, 1, 1);
  run.model.tied_embeddings = false;
  run.training.tuning.frozen = {ModelPart::embedding, ModelPart::layers};
  const Program program = lower(run);
  for_every_op(program, Rank(0), [&](const Op& op) {
    const auto* kernels = std::get_if<Kernels>(&op.action);
    if (kernels != nullptr && op.phase == Phase::backward) {
      CHECK(program.text(op.name) == "head and loss");
    }
  });
}

TEST_CASE("fine-tuning that makes no sense is refused", "[strategies]") {
  CHECK(error("lora = { rank = 16 }") == "");
  CHECK(error("lora = { rank = 16, targets = [\"qkv\", \"mlp\"] }\nweight_dtype = \"nf4\"") == "");
  CHECK(
      error("lora = { rank = 16, targets = [\"qvk\"] }") ==
      R"(run.toml:9:32: training.lora.targets[0]: expected one of qkv, projection, mlp, experts, head; got 'qvk'; did you mean 'qkv'?
  lora = { rank = 16, targets = ["qvk"] }
                                 ^)");
  CHECK(
      error("lora = { rank = 16, targets = [\"experts\"] }") ==
      R"(run.toml:9:8: training.lora: no linear layer of model 'gpt-neox-20b' is a target 'experts'
  lora = { rank = 16, targets = ["experts"] }
         ^)");
  CHECK(error("frozen = [\"embedding\", \"layers\", \"head\"]") ==
        R"(run.toml:9:10: training.frozen: with all of these frozen nothing is trained
  frozen = ["embedding", "layers", "head"]
           ^)");
  CHECK(
      error("frozen = \"head\"") ==
      R"(run.toml:9:10: training.frozen: expected a list of words, each one of embedding, layers, head; got "head" (text)
  frozen = "head"
           ^)");
  CHECK(
      error("frozen = []") ==
      R"(run.toml:9:10: training.frozen: expected a list of words, each one of embedding, layers, head; got an empty one
  frozen = []
           ^)");
  CHECK(
      error("frozen = [\"embedding\", \"layers\"]") ==
      R"(run.toml:9:10: training.frozen: with embedding and layers frozen no stage but the last has a backward pass, which pipeline 4 does not model; use pipeline 1
  frozen = ["embedding", "layers"]
           ^)");
  CHECK(
      error("weight_dtype = \"nf4\"\nfrozen = [\"layers\"]", "zero = 3\n") ==
      R"(run.toml:9:16: training.weight_dtype: quantised weights with zero 3 are not modelled; use zero 0, 1 or 2
  weight_dtype = "nf4"
                 ^)");
  CHECK(error("lora = { rank = 4 }\nfrozen = [\"head\"]") ==
        R"(run.toml:10:10: training.frozen: lora freezes all but its adapters already; remove frozen
  frozen = ["head"]
           ^)");
  CHECK(error("frozen = [\"head\", \"head\"]") ==
        R"(run.toml:9:19: training.frozen[1]: 'head' stands there twice
  frozen = ["head", "head"]
                    ^)");
  CHECK(
      error("weight_dtype = \"int8\"") ==
      R"(run.toml:9:16: training.weight_dtype: weight_dtype int8 is for frozen layers: freeze them, or train adapters with lora
  weight_dtype = "int8"
                 ^)");
}

}  // namespace foretrain::testing
