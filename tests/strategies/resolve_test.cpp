// SPDX-License-Identifier: Apache-2.0
// Checks across the fields of a run: each message names the keys of both sides.
#include <fstream>
#include <iterator>

#include "sim/config/catalogue.hpp"
#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::testing {

namespace {

/// kRunFile on a platform of the test's own, made of the small cluster file with one change.
std::string error_on_platform(std::string_view from, std::string_view to,
                              const std::string& more = "") {
  const ScratchFolder folder;
  const std::string path = folder.write("mine.toml", spoilt(kClusterFile, from, to));
  std::string text = spoilt(kRunFile, "dgx-a100-40gb", path);
  text = spoilt(text, "nodes = 12\n", more);
  return mistakes_in(text);
}

}  // namespace

TEST_CASE("a run is resolved with the files that it names", "[strategies]") {
  const Run run = resolve_text(std::string(kRunFile));
  CHECK(run.model.layers == 44);
  CHECK(run.cluster.gpus_per_node == 8);
  CHECK(run.stack.name == "generic");
  CHECK(run.num_gpus() == 96);
  CHECK(run.data_parallel() == 12);
  CHECK(run.num_micro_batches() == 32);
  CHECK(run.tokens_per_step() == 1536.0 * 2048);
}

TEST_CASE("without nodes a run takes the platform's", "[strategies]") {
  CHECK(resolve_text(spoilt(kRunFile, "nodes = 12\n", "")).nodes == 12);
}

TEST_CASE("paths of a run file are relative to its folder", "[strategies]") {
  const ScratchFolder folder;
  static_cast<void>(folder.write("mine.toml", std::string(kClusterFile)));
  std::string text = spoilt(kRunFile, "dgx-a100-40gb", "mine.toml");
  text = spoilt(text, "nodes = 12", "nodes = 2");
  config::Sources sources;
  const Run run = resolve(read_run_text(text, sources), sources, source_catalogue(), folder.path());
  CHECK(run.cluster.name == "Test cluster");
  CHECK(run.num_gpus() == 16);
}

TEST_CASE("no more nodes than the platform has", "[strategies]") {
  CHECK(error_on_platform("nodes = 2\n", "nodes = 2\n", "nodes = 5\n") ==
        R"(run.toml:3:9: nodes: nodes 5 is more than the 4 that platform 'Test cluster' has
  nodes = 5
          ^)");
}

TEST_CASE("a GPU runs only the data types and attention kernels that its file has numbers for",
          "[strategies]") {
  CHECK(
      error_on_platform("a100-sxm4-80gb", "v100-sxm2-32gb") ==
      R"(run.toml: stack: stack 'generic' runs an attention kernel that GPU 'V100 SXM2 32GB' of platform 'Test cluster' has no parameters for
run.toml:4:1: training.precision: precision bf16 has no GEMM parameters in the file of GPU 'V100 SXM2 32GB' of platform 'Test cluster', which has fp32, fp16
  [training]
  ^)");
}

TEST_CASE("the degrees of parallelism divide the GPUs, and the nodes that would do are named",
          "[strategies]") {
  CHECK(
      run_error("tensor = 2\npipeline = 4", "tensor = 8\npipeline = 16") ==
      R"(run.toml:11:10: parallel.tensor: tensor 8 x pipeline 16 = 128, but the platform has 96 GPUs: nodes = 16 gives 128
  tensor = 8
           ^
run.toml:12:12: parallel.pipeline: pipeline 16 x virtual_stages 1 = 16 does not divide the 44 layers of the model; stage_layers = [...] deals them out one by one, embedding_as_layer = true counts embedding and head as two more
  pipeline = 16
             ^)");
  CHECK(
      run_error("tensor = 2", "tensor = 5") ==
      R"(run.toml:11:10: parallel.tensor: tensor 5 x pipeline 4 = 20, but the platform has 96 GPUs: nodes = 15 gives 120
  tensor = 5
           ^
run.toml:11:10: parallel.tensor: tensor 5 does not divide the model's heads 64
  tensor = 5
           ^
run.toml:11:10: parallel.tensor: tensor 5 does not divide the model's ffn 24576
  tensor = 5
           ^)");
  CHECK(
      run_error("tensor = 2\npipeline = 4", "tensor = 64\npipeline = 4") ==
      R"(run.toml:11:10: parallel.tensor: tensor 64 x pipeline 4 = 256, but the platform has 96 GPUs: nodes = 32 gives 256
  tensor = 64
           ^)");
}

TEST_CASE("a stated data-parallel degree is checked against what is left", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\ndata = 8") ==
      R"(run.toml:13:8: parallel.data: data 8 was asked for, but tensor 2 x pipeline 4 = 8 of 96 GPUs leaves 12
  data = 8
         ^)");
}

TEST_CASE("the batch divides over the replicas, and the nearest batches that do are named",
          "[strategies]") {
  CHECK(
      run_error("global_batch = 1536", "global_batch = 1000") ==
      R"(run.toml:7:16: training.global_batch: global_batch 1000 is not a multiple of micro_batch 4 x data parallel 12 = 48; 960 and 1008 are
  global_batch = 1000
                 ^)");
  CHECK(
      run_error("global_batch = 1536", "global_batch = 10") ==
      R"(run.toml:7:16: training.global_batch: global_batch 10 is not a multiple of micro_batch 4 x data parallel 12 = 48; 48 is
  global_batch = 10
                 ^)");
}

TEST_CASE("layers divide over stages and chunks", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 3") ==
      R"(run.toml:12:12: parallel.pipeline: pipeline 3 x virtual_stages 1 = 3 does not divide the 44 layers of the model; stage_layers = [...] deals them out one by one, embedding_as_layer = true counts embedding and head as two more
  pipeline = 3
             ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nvirtual_stages = 3") ==
      R"(run.toml:12:12: parallel.pipeline: pipeline 4 x virtual_stages 3 = 12 does not divide the 44 layers of the model; stage_layers = [...] deals them out one by one, embedding_as_layer = true counts embedding and head as two more
  pipeline = 4
             ^)");
}

TEST_CASE("virtual stages need a pipeline and a schedule that interleaves", "[strategies]") {
  CHECK(run_error("pipeline = 4", "pipeline = 1\nvirtual_stages = 4") ==
        R"(run.toml:13:18: parallel.virtual_stages: virtual_stages 4 has no effect with pipeline 1
  virtual_stages = 4
                   ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nvirtual_stages = 11\nschedule = \"1f1b\"") ==
      R"(run.toml:14:12: parallel.schedule: this schedule keeps a stage's layers together, but virtual_stages = 11: use schedule = "interleaved-1f1b"
  schedule = "1f1b"
             ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nvirtual_stages = 11\nschedule = \"gpipe\"") ==
      R"(run.toml:14:12: parallel.schedule: this schedule keeps a stage's layers together, but virtual_stages = 11: use schedule = "interleaved-1f1b"
  schedule = "gpipe"
             ^)");
}

TEST_CASE("interleaving needs whole groups of micro-batches", "[strategies]") {
  CHECK(
      run_error("global_batch = 1536\nmicro_batch = 4\n\n[parallel]\ntensor = 2\npipeline = 4",
                "global_batch = 1440\nmicro_batch = 4\n\n[parallel]\ntensor = 2\npipeline = "
                "4\nvirtual_stages = 11\nschedule = \"interleaved-1f1b\"") ==
      R"(run.toml:14:12: parallel.schedule: interleaving takes micro-batches in groups of pipeline = 4, but there are 30 micro-batches per step
  schedule = "interleaved-1f1b"
             ^)");
}

TEST_CASE("tensor parallelism divides heads, key-value heads and the MLP", "[strategies]") {
  CHECK(run_error("tensor = 2", "tensor = 3") ==
        R"(run.toml:11:10: parallel.tensor: tensor 3 does not divide the model's heads 64
  tensor = 3
           ^)");
  CHECK(mistakes_in("model = \"qwen2-7b\"\nplatform = \"dgx-a100-80gb\"\nnodes = "
                    "7\n\n[training]\nsequence_length = 2048\nglobal_batch = "
                    "1536\n\n[parallel]\ntensor = 7\n")
            .find("parallel.tensor: tensor 7 does not divide the model's kv_heads 4") !=
        std::string::npos);
}

TEST_CASE("sequence parallelism needs tensor parallelism and a sequence that it divides",
          "[strategies]") {
  CHECK(
      run_error("tensor = 2\npipeline = 4", "tensor = 1\npipeline = 4\nsequence_parallel = true") ==
      R"(run.toml:13:21: parallel.sequence_parallel: sequence_parallel has no effect with tensor 1
  sequence_parallel = true
                      ^)");
  CHECK(
      run_error(
          "sequence_length = 2048\nglobal_batch = 1536\nmicro_batch = 4\n\n[parallel]\ntensor = 2",
          "sequence_length = 2047\nglobal_batch = 1536\nmicro_batch = 4\n\n[parallel]\ntensor = "
          "2\nsequence_parallel = true") ==
      R"(run.toml:6:19: training.sequence_length: sequence_length 2047 is not a multiple of tensor 2, as sequence_parallel needs
  sequence_length = 2047
                    ^)");
}

TEST_CASE("a sequence is no longer than the model's positions", "[strategies]") {
  CHECK(
      mistakes_in("model = \"gpt2\"\nplatform = \"dgx-a100-40gb\"\nnodes = "
                  "1\n\n[training]\nsequence_length = 2048\nglobal_batch = 64\n") ==
      R"(run.toml:6:19: training.sequence_length: sequence_length 2048 is more than the 1024 learned positions of the model
  sequence_length = 2048
                    ^)");
}

TEST_CASE("names of models, platforms and stacks that do not exist are answered with the nearest",
          "[strategies]") {
  CHECK(run_error("gpt-neox-20b", "gpt-neox-2b") ==
        R"(run.toml:1:9: model: no model is called 'gpt-neox-2b'; did you mean 'gpt-neox-20b'?
  model = "gpt-neox-2b"
          ^)");
  CHECK(
      run_error("dgx-a100-40gb", "dgx-a100-40") ==
      R"(run.toml:2:12: platform: no cluster is called 'dgx-a100-40'; did you mean 'dgx-a100-40gb'?
  platform = "dgx-a100-40"
             ^)");
  CHECK(
      run_error("nodes = 12", "nodes = 12\nstack = \"megatron-lm-2023\"") ==
      R"(run.toml:4:9: stack: no stack is called 'megatron-lm-2023'; did you mean 'megatron-lm-2021'?
  stack = "megatron-lm-2023"
          ^)");
  std::string stacks;
  for (const std::string& name : config::names_in(source_catalogue().stacks)) {
    stacks += (stacks.empty() ? "" : ", ") + name;
  }
  CHECK(run_error("nodes = 12", "nodes = 12\nstack = \"deepspeed\"") ==
        "run.toml:4:9: stack: no stack is called 'deepspeed'; there are " + stacks +
            "\n  stack = \"deepspeed\"\n          ^");
  CHECK(run_error("model = \"gpt-neox-20b\"\nplatform = \"dgx-a100-40gb\"",
                  "model = \"gpt-neox-2b\"\nplatform = \"dgx-a100-40\"\nstack = \"genric\"") ==
        R"(run.toml:1:9: model: no model is called 'gpt-neox-2b'; did you mean 'gpt-neox-20b'?
  model = "gpt-neox-2b"
          ^
run.toml:2:12: platform: no cluster is called 'dgx-a100-40'; did you mean 'dgx-a100-40gb'?
  platform = "dgx-a100-40"
             ^
run.toml:3:9: stack: no stack is called 'genric'; did you mean 'generic'?
  stack = "genric"
          ^)");
}

TEST_CASE("a run that is too large to be simulated is refused before it is tried", "[strategies]") {
  CHECK(run_error("nodes = 12", "nodes = 76800") ==
        R"(run.toml:3:9: nodes: nodes 76800 makes 614400 ranks; at most 262144 are laid out
  nodes = 76800
          ^
run.toml:7:16: training.global_batch: global_batch 1536 is not a multiple of micro_batch 4 x data parallel 76800 = 307200; 307200 is
  global_batch = 1536
                 ^)");
  CHECK(
      run_error("global_batch = 1536\nmicro_batch = 4",
                "global_batch = 99999996\nmicro_batch = 1") ==
      R"(run.toml:7:16: training.global_batch: global_batch 99999996 makes 99999996 layer passes per step on each rank; at most 1000000 are simulated
  global_batch = 99999996
                 ^)");
}

namespace {

/// kRunFile with an inline model: the model file's text as a table at the end.
std::string with_inline_model(const std::string& change_from = "",
                              const std::string& change_to = "") {
  std::ifstream file(source_catalogue().models + "/gpt-neox-20b.toml");
  std::string model{std::istreambuf_iterator<char>(file), {}};
  if (!change_from.empty()) {
    model = spoilt(model, change_from, change_to);
  }
  return spoilt(kRunFile, "model = \"gpt-neox-20b\"\n", "") + "[model]\n" + model;
}

}  // namespace

TEST_CASE("a model may be written into the run file, and is the one of its file", "[strategies]") {
  const Run named = resolve_text(std::string(kRunFile));
  const Run inlined = resolve_text(with_inline_model());
  CHECK(inlined.model.name == named.model.name);
  CHECK(parameters(inlined.model) == parameters(named.model));
  CHECK(model_flops(inlined) == model_flops(named));
  for (const std::int64_t stage : {0, 3}) {
    CHECK(stage_shape(inlined, stage).parameters == stage_shape(named, stage).parameters);
  }
}

TEST_CASE("a mistake of an inline model is told at its place in the run file", "[strategies]") {
  CHECK(mistakes_in(with_inline_model("hidden               = 6144", "hiden = 6144"))
            .find("model: unknown key 'hiden'; did you mean 'hidden'?") != std::string::npos);
  CHECK(run_error("model = \"gpt-neox-20b\"", "model = 3") ==
        R"(run.toml:1:9: model: expected text in quotes, got 3 (a whole number)
  model = 3
          ^)");
}

TEST_CASE("a run on part of a node, or on as many whole nodes as its GPUs make", "[strategies]") {
  const auto sized = [](const std::string& gpus) {
    return resolve_text(spoilt(spoilt(kRunFile, "nodes = 12", gpus), "pipeline = 4", ""));
  };
  const Run part = sized("gpus = 4");
  CHECK(part.num_gpus() == 4);
  CHECK(part.nodes == 1);
  CHECK(part.data_parallel() == 2);
  CHECK(lower(part).ranks.size() == 4);
  const Run whole = sized("gpus = 24");
  CHECK(whole.num_gpus() == 24);
  CHECK(whole.nodes == 3);
}

TEST_CASE("gpus are part of a node or whole nodes, and not said twice", "[strategies]") {
  CHECK(run_error("nodes = 12", "nodes = 12\ngpus = 96") ==
        R"(run.toml:4:8: gpus: nodes and gpus say the same thing; give one of them
  gpus = 96
         ^)");
  CHECK(
      run_error("nodes = 12", "gpus = 12") ==
      R"(run.toml:3:8: gpus: gpus 12 is neither part of a node of platform 'DGX A100 40GB, 4 x HDR' nor a multiple of its 8 GPUs
  gpus = 12
         ^)");
  CHECK(
      run_error("nodes = 12", "gpus = 4") ==
      R"(run.toml:11:10: parallel.tensor: tensor 2 x pipeline 4 = 8, but the run has 4 GPUs: gpus = 8
  tensor = 2
           ^)");
  CHECK(error_on_platform("nodes = 2\n", "nodes = 2\n", "gpus = 40\n") ==
        R"(run.toml:3:8: gpus: gpus 40 is more than the 32 that platform 'Test cluster' has
  gpus = 40
         ^)");
}

TEST_CASE("what ZeRO cannot do is refused", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nzero = 3\nshard = 5") ==
      R"(run.toml:14:9: parallel.shard: shard 5 does not divide the 12 ranks that hold the same parameters
  shard = 5
          ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\nshard = 4") ==
        R"(run.toml:13:9: parallel.shard: shard has no effect with zero 0
  shard = 4
          ^)");
}

TEST_CASE("context parallelism divides the sequence and needs flash attention", "[strategies]") {
  CHECK(run_error("nodes = 12", "nodes = 12\nstack = \"megatron-lm-2022\"")
            .empty());  // unfused attention alone is fine
  CHECK(
      mistakes_in(spoilt(spoilt(kRunFile, "nodes = 12", "nodes = 12\nstack = \"megatron-lm-2022\""),
                         "pipeline = 4", "pipeline = 4\ncontext = 2")) ==
      R"(run.toml:14:11: parallel.context: context 2 needs flash attention, which stack 'megatron-lm-2022' does not run
  context = 2
            ^)");
  CHECK(mistakes_in(spoilt(spoilt(kRunFile, "pipeline = 4", "pipeline = 4\ncontext = 3"), "2048",
                           "2047")) ==
        R"(run.toml:13:11: parallel.context: context 3 does not divide the sequence_length 2047
  context = 3
            ^)");
  CHECK(
      mistakes_in(spoilt(
          spoilt(kRunFile, "pipeline = 4", "pipeline = 4\ncontext = 4\nsequence_parallel = true"),
          "2048", "2044")) ==
      R"(run.toml:13:11: parallel.context: context 4 does not divide the sequence_length 2044 into shares that tensor divides
  context = 4
            ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\ncontext = 5") ==
      R"(run.toml:11:10: parallel.tensor: tensor 2 x pipeline 4 x context 5 = 40, but the platform has 96 GPUs: nodes = 15 gives 120
  tensor = 2
           ^
run.toml:13:11: parallel.context: context 5 does not divide the sequence_length 2048
  context = 5
            ^)");
}

TEST_CASE("context parallelism leaves fewer replicas for the batch", "[strategies]") {
  const Run run = resolve_text(spoilt(kRunFile, "pipeline = 4", "pipeline = 4\ncontext = 4"));
  CHECK(run.replicas() == 12);
  CHECK(run.data_parallel() == 3);
  CHECK(run.num_micro_batches() == 128);
}

TEST_CASE("recompute_every is refused where nothing is recomputed", "[strategies]") {
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\nrecompute_every = 2") ==
        R"(run.toml:9:19: training.recompute_every: has no effect with recompute = "none"; remove it
  recompute_every = 2
                    ^)");
}

}  // namespace foretrain::testing
