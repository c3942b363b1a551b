// SPDX-License-Identifier: Apache-2.0
// What a user reads after a mistake in a run file: the whole text, position and remedy.
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {

namespace {

RunFile accepted(const std::string& text) {
  config::Sources sources;
  return read_run_text(text, sources);
}

}  // namespace

TEST_CASE("a run file has defaults for all that is usual", "[strategies]") {
  const RunFile file = accepted(std::string(kRunFile));
  CHECK(file.model == "gpt-neox-20b");
  CHECK(file.platform == "dgx-a100-40gb");
  CHECK(file.stack == "generic");
  CHECK(file.nodes == 12);
  CHECK(file.training.sequence_length == 2048);
  CHECK(file.training.global_batch == 1536);
  CHECK(file.training.micro_batch == 4);
  CHECK(file.training.precision == Dtype::bf16);
  CHECK(file.training.recompute == Recompute::none);
  CHECK_FALSE(file.training.tokens);
  CHECK(file.parallel.tensor == 2);
  CHECK(file.parallel.pipeline == 4);
  CHECK(file.parallel.virtual_stages == 1);
  CHECK(file.parallel.zero == 0);
  CHECK(file.parallel.schedule == "1f1b");
  CHECK_FALSE(file.parallel.sequence_parallel);
  CHECK_FALSE(file.measured);
}

TEST_CASE("virtual stages make the interleaved schedule the default", "[strategies]") {
  const RunFile file = accepted(std::string(kRunFile) + "virtual_stages = 11\n");
  CHECK(file.parallel.schedule == "interleaved-1f1b");
}

TEST_CASE("layouts of sharded parameters and sequences are read", "[strategies]") {
  const RunFile file =
      accepted(spoilt(kRunFile, "micro_batch = 4",
                      "micro_batch = 4\nrecompute = \"operators\"\nrecompute_every = 2") +
               "context = 2\nzero = 3\nshard = 6\n");
  CHECK(file.training.recompute == Recompute::operators);
  CHECK(file.training.recompute_every == 2);
  CHECK(file.parallel.context == 2);
  CHECK(file.parallel.zero == 3);
  CHECK(file.parallel.shard == 6);
}

TEST_CASE("a run file may force the algorithm of a kind of collective", "[strategies]") {
  const RunFile file = accepted(std::string(kRunFile) +
                                "[collectives]\nall_reduce = \"tree\"\nbroadcast = \"binomial\"\n");
  REQUIRE(file.collectives.size() == 2);
  CHECK(file.collectives[0].kind == CollectiveKind::all_reduce);
  CHECK(file.collectives[0].algorithm->name == "tree");
  CHECK(file.collectives[0].place.line == 14);
  CHECK(file.collectives[0].place.key == "collectives.all_reduce");
  CHECK(file.collectives[1].algorithm->name == "binomial");
  CHECK(accepted(std::string(kRunFile)).collectives.empty());
}

TEST_CASE("only algorithms that carry out a kind of collective can be forced for it",
          "[strategies]") {
  const auto mistake = [](const std::string& line) {
    return mistakes_in(std::string(kRunFile) + "[collectives]\n" + line + "\n");
  };
  const auto has = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(has(mistake("all_reduce = \"rign\""), "run.toml:14:14: collectives.all_reduce: "));
  CHECK(has(mistake("all_reduce = \"rign\""), "did you mean 'ring'?"));
  CHECK(has(mistake("all_gather = \"tree\""), "collectives.all_gather: "));
  CHECK(has(mistake("alltoall = \"pairwise\""), "all_to_all"));
  CHECK(has(mistake("gather = \"ring\""), "unknown key 'gather'"));
}

TEST_CASE("tokens and measurements are read with their units", "[strategies]") {
  std::string text = spoilt(kRunFile, "micro_batch = 4", "micro_batch = 4\ntokens = \"472 G\"");
  text +=
      "[measured]\nstep_time = \"43.92 s\"\nflops_per_gpu = \"117 TFLOP/s\"\n"
      "flops_count = \"own\"\nflops_per_token = \"156 GFLOP\"\nsource = \"a paper\"\n";
  const RunFile file = accepted(text);
  CHECK(file.training.tokens == 472e9);
  REQUIRE(file.measured);
  CHECK(file.measured->step_time == 43.92_s);
  CHECK(file.measured->flops_per_gpu == 117_TFLOPs);
  CHECK(file.measured->flops_count == FlopsCount::own);
  CHECK(file.measured->flops_per_token == Flops(156e9));
  CHECK(file.measured->source == "a paper");
}

TEST_CASE("keys of other tools are refused with our names for them", "[strategies]") {
  CHECK(run_error("tensor =", "tp =") ==
        R"(run.toml:11:1: parallel: unknown key 'tp'; here it is called 'tensor'
  tp = 2
  ^)");
  CHECK(run_error("pipeline =", "pp =") ==
        R"(run.toml:12:1: parallel: unknown key 'pp'; here it is called 'pipeline'
  pp = 4
  ^)");
  CHECK(run_error("micro_batch =", "micro_batch_size =") ==
        R"(run.toml:8:1: training: unknown key 'micro_batch_size'; here it is called 'micro_batch'
  micro_batch_size = 4
  ^)");
  CHECK(run_error("nodes = 12", "num_nodes = 12") ==
        R"(run.toml:3:1: unknown key 'num_nodes'; here it is called 'nodes'
  num_nodes = 12
  ^)");
  CHECK(run_error("sequence_length =", "seq_length =") ==
        R"(run.toml:5:1: training: missing key 'sequence_length' (a whole number from 1 to 10000000)
  [training]
  ^
run.toml:6:1: training: unknown key 'seq_length'; here it is called 'sequence_length'
  seq_length = 2048
  ^)");
  CHECK(run_error("global_batch =", "global_batch_size =") ==
        R"(run.toml:5:1: training: missing key 'global_batch' (a whole number from 1 to 100000000)
  [training]
  ^
run.toml:7:1: training: unknown key 'global_batch_size'; here it is called 'global_batch'
  global_batch_size = 1536
  ^)");
  CHECK(run_error("platform =", "cluster =") ==
        R"(run.toml: missing key 'platform' (text in quotes)
run.toml:2:1: unknown key 'cluster'; here it is called 'platform'
  cluster = "dgx-a100-40gb"
  ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\nzero_stage = 1") ==
        R"(run.toml:13:1: parallel: unknown key 'zero_stage'; here it is called 'zero'
  zero_stage = 1
  ^)");
  CHECK(run_error("[training]", "[train]") ==
        R"(run.toml: missing key 'training' (a table)
run.toml:5:2: unknown key 'train'; here it is called '[training]'
  [train]
   ^)");
}

TEST_CASE("mistyped keys are refused with the nearest key", "[strategies]") {
  CHECK(run_error("micro_batch = 4", "micro_bach = 4") ==
        R"(run.toml:8:1: training: unknown key 'micro_bach'; did you mean 'micro_batch'?
  micro_bach = 4
  ^)");
  CHECK(run_error("[parallel]", "[paralel]") ==
        R"(run.toml:10:2: unknown key 'paralel'; did you mean 'parallel'?
  [paralel]
   ^)");
  CHECK(run_error("pipeline =", "pipelines =") ==
        R"(run.toml:12:1: parallel: unknown key 'pipelines'; did you mean 'pipeline'?
  pipelines = 4
  ^)");
}

TEST_CASE("keys that nobody knows are refused with those that are known", "[strategies]") {
  const auto starts = [](const std::string& error, const std::string& start) {
    CHECK(error.substr(0, start.size()) == start);
  };
  starts(run_error("nodes = 12", "nodes = 12\nseed = 1"),
         "run.toml:4:1: unknown key 'seed'; the keys here are collectives, compression, ");
  starts(
      run_error("pipeline = 4", "pipeline = 4\nwidth = 2"),
      "run.toml:13:1: parallel: unknown key 'width'; the keys here are blocking_sends, context, ");
}

TEST_CASE("keys that a run needs are missed", "[strategies]") {
  CHECK(run_error("model = \"gpt-neox-20b\"\n", "") ==
        R"(run.toml: missing key 'model' (text in quotes))");
  CHECK(run_error("sequence_length = 2048\n", "") ==
        R"(run.toml:5:1: training: missing key 'sequence_length' (a whole number from 1 to 10000000)
  [training]
  ^)");
  CHECK(mistakes_in("") ==
        R"(run.toml: missing key 'model' (text in quotes)
run.toml: missing key 'platform' (text in quotes)
run.toml: missing key 'training' (a table))");
}

TEST_CASE("counts are whole numbers within their limits", "[strategies]") {
  CHECK(run_error("nodes = 12", "nodes = \"12\"") ==
        R"(run.toml:3:9: nodes: expected a whole number from 1 to 1000000, got "12" (text)
  nodes = "12"
          ^)");
  CHECK(
      run_error("nodes = 12", "nodes = 12.5") ==
      R"(run.toml:3:9: nodes: expected a whole number from 1 to 1000000, got 12.5 (a number with a fraction)
  nodes = 12.5
          ^)");
  CHECK(run_error("nodes = 12", "nodes = 0") ==
        R"(run.toml:3:9: nodes: expected a whole number from 1 to 1000000, got 0
  nodes = 0
          ^)");
  CHECK(run_error("nodes = 12", "nodes = true") ==
        R"(run.toml:3:9: nodes: expected a whole number from 1 to 1000000, got true
  nodes = true
          ^)");
  CHECK(run_error("tensor = 2", "tensor = -2") ==
        R"(run.toml:11:10: parallel.tensor: expected a whole number from 1 to 4096, got -2
  tensor = -2
           ^)");
  CHECK(run_error("tensor = 2", "tensor = 8192") ==
        R"(run.toml:11:10: parallel.tensor: expected a whole number from 1 to 4096, got 8192
  tensor = 8192
           ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\nzero = 4") ==
        R"(run.toml:13:8: parallel.zero: expected a whole number from 0 to 3, got 4
  zero = 4
         ^)");
  CHECK(run_error("sequence_length = 2048", "sequence_length = 99999999999999999999") ==
        R"(run.toml:6:39: not valid TOML: '99999999999999999999' is not representable in 64 bits
  sequence_length = 99999999999999999999
                                        ^)");
}

TEST_CASE("words are one of those that a key knows", "[strategies]") {
  CHECK(
      run_error("micro_batch = 4", "micro_batch = 4\nprecision = \"decimal\"") ==
      R"(run.toml:9:13: training.precision: expected one of bf16, fp16, tf32, fp32, fp8, fp4; got 'decimal'
  precision = "decimal"
              ^)");
  CHECK(
      run_error("micro_batch = 4", "micro_batch = 4\noptimizer = \"moun\"") ==
      R"(run.toml:9:13: training.optimizer: expected one of adam, adamw, adam-8bit, sgd, sgd-momentum, lion, adafactor, muon, lamb; got 'moun'; did you mean 'muon'?
  optimizer = "moun"
              ^)");
  CHECK(
      run_error("micro_batch = 4", "micro_batch = 4\nrecompute = \"selectiv\"") ==
      R"(run.toml:9:13: training.recompute: expected one of none, selective, operators, full, above; got 'selectiv'; did you mean 'selective'?
  recompute = "selectiv"
              ^)");
  CHECK(
      run_error("micro_batch = 4", "micro_batch = 4\nrecompute = true") ==
      R"(run.toml:9:13: training.recompute: expected one of none, selective, operators, full, above; got true
  recompute = true
              ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nschedule = \"zb-h3\"") ==
      R"(run.toml:13:12: parallel.schedule: expected one of 1f1b, gpipe, breadth-first, interleaved-1f1b, zb-h1, zb-2p, interleaved-zb, zb-v, v-half, v-min, dualpipe, dualpipe-v; got 'zb-h3'; did you mean 'zb-h1'?
  schedule = "zb-h3"
             ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nsequence_parallel = 1") ==
      R"(run.toml:13:21: parallel.sequence_parallel: expected true or false, got 1 (a whole number)
  sequence_parallel = 1
                      ^)");
}

TEST_CASE("tokens are a count with an optional prefix, more than zero", "[strategies]") {
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\ntokens = 472") ==
        R"(run.toml:9:10: training.tokens: expected text in quotes, got 472 (a whole number)
  tokens = 472
           ^)");
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\ntokens = \"472 Gb\"") ==
        R"(run.toml:9:10: training.tokens: expected a count such as "472 G" or "1.5 T", got "472 Gb"
  tokens = "472 Gb"
           ^)");
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\ntokens = \"0\"") ==
        R"(run.toml:9:10: training.tokens: expected a count such as "472 G" or "1.5 T", got "0"
  tokens = "0"
           ^)");
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\ntokens = \"-1 G\"") ==
        R"(run.toml:9:10: training.tokens: expected a count such as "472 G" or "1.5 T", got "-1 G"
  tokens = "-1 G"
           ^)");
}

TEST_CASE("tables are tables", "[strategies]") {
  CHECK(run_error("model = \"gpt-neox-20b\"", "measured = 3\nmodel = \"gpt-neox-20b\"") ==
        R"(run.toml:1:12: measured: expected a table, got 3 (a whole number)
  measured = 3
             ^)");
  CHECK(run_error("[parallel]", "[[parallel]]") ==
        R"(run.toml:10:1: parallel: expected a table, got an array
  [[parallel]]
  ^)");
  CHECK(
      run_error("micro_batch = 4", "micro_batch = 4\n[training.optimizer]\nname = 1") ==
      R"(run.toml:9:1: training.optimizer: expected one of adam, adamw, adam-8bit, sgd, sgd-momentum, lion, adafactor, muon, lamb; got a table
  [training.optimizer]
  ^)");
}

TEST_CASE("a file that is not TOML is refused at the place that is wrong", "[strategies]") {
  CHECK(run_error("nodes = 12", "nodes = 12\nnodes = 13") ==
        R"(run.toml:4:9: not valid TOML: cannot redefine existing integer 'nodes'
  nodes = 13
          ^)");
  CHECK(run_error("tensor = 2", "tensor =") ==
        R"(run.toml:11:9: not valid TOML: expected value, saw '\n'
  tensor =
          ^)");
  CHECK(mistakes_in("[training") ==
        R"(run.toml:1:10: not valid TOML: encountered end-of-file
  [training
           ^)");
}

TEST_CASE("all mistakes of a file are told in the order of the file", "[strategies]") {
  CHECK(mistakes_in(
            "model = \"gpt-neox-20b\"\nplatform = 3\nnum_nodes = 12\n\n[training]\nseq_length = "
            "2048\nglobal_batch = 0\nprecision = \"fp17\"\n\n[parallel]\ntp = 2\nzero = 9\n") ==
        R"(run.toml:2:12: platform: expected text in quotes, got 3 (a whole number)
  platform = 3
             ^
run.toml:3:1: unknown key 'num_nodes'; here it is called 'nodes'
  num_nodes = 12
  ^
run.toml:5:1: training: missing key 'sequence_length' (a whole number from 1 to 10000000)
  [training]
  ^
run.toml:6:1: training: unknown key 'seq_length'; here it is called 'sequence_length'
  seq_length = 2048
  ^
run.toml:7:16: training.global_batch: expected a whole number from 1 to 100000000, got 0
  global_batch = 0
                 ^
run.toml:8:13: training.precision: expected one of bf16, fp16, tf32, fp32, fp8, fp4; got 'fp17'; did you mean 'fp16'?
  precision = "fp17"
              ^
run.toml:11:1: parallel: unknown key 'tp'; here it is called 'tensor'
  tp = 2
  ^
run.toml:12:8: parallel.zero: expected a whole number from 0 to 3, got 9
  zero = 9
         ^)");
}

}  // namespace foretrain::testing
