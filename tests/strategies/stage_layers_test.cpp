// How layers are dealt out over stages and chunks, and what that changes in a step.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/stage_layers.hpp"

#include <vector>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Layers = std::vector<std::int64_t>;

Run dealt(std::int64_t pipeline, std::int64_t chunks, const Layers& layers) {
  Run run = small_run(1, pipeline, 1);
  run.parallel.virtual_stages = chunks;
  run.parallel.schedule = chunks > 1 ? "interleaved-1f1b" : "1f1b";
  run.parallel.stage_layers = layers;
  return run;
}

/// Of all places of the model, in order.
Layers all_layers(const Run& run) {
  Layers all;
  for (std::int64_t chunk = 0; chunk < run.parallel.virtual_stages; ++chunk) {
    for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
      all.push_back(layers_of(run, stage, chunk));
    }
  }
  return all;
}

}  // namespace

TEST_CASE("layers are dealt out alike, by a list, or with embedding and head counted",
          "[strategies]") {
  CHECK(all_layers(dealt(4, 1, {})) == Layers{2, 2, 2, 2});
  CHECK(all_layers(dealt(2, 2, {1, 3, 2, 2})) == Layers{1, 3, 2, 2});
  Run run = dealt(5, 1, {});
  run.parallel.embedding_as_layer = true;  // (8 + 2) / 5
  CHECK(all_layers(run) == Layers{1, 2, 2, 2, 1});
  run.parallel.virtual_stages = 2;  // a chunk each for embedding and head alone
  CHECK(all_layers(run) == Layers{0, 1, 1, 1, 1, 1, 1, 1, 1, 0});
}

TEST_CASE("a list runs through the model: chunk c of stage s is entry c p + s", "[strategies]") {
  const Run run = dealt(2, 2, {1, 3, 2, 2});
  const StageShape first = stage_shape(run, 0);
  const StageShape second = stage_shape(run, 1);
  CHECK(first.layers == Layers{1, 2});
  CHECK(second.layers == Layers{3, 2});
  CHECK(first.layer_number(0, 0) == 0);
  CHECK(second.layer_number(0, 0) == 1);
  CHECK(first.layer_number(1, 1) == 5);
  CHECK(second.layer_number(1, 1) == 7);
  CHECK(first.num_layers() == 3);
}

TEST_CASE("parameters and work are the model's however its layers are dealt out", "[strategies]") {
  const auto totals = [](const Run& run) {
    std::int64_t parameters = 0;
    Flops flops;
    const Program program = lower(run);
    for (std::int64_t stage = 0; stage < run.parallel.pipeline; ++stage) {
      parameters += stage_shape(run, stage).parameters;
      flops += gemm_flops(program, Rank(static_cast<std::size_t>(stage)));
    }
    return std::pair(parameters, flops);
  };
  const auto even = totals(dealt(4, 1, {}));
  CHECK(totals(dealt(4, 1, {1, 3, 3, 1})) == even);
  CHECK(totals(dealt(4, 1, {0, 7, 1, 0})) == even);
  CHECK(totals(dealt(4, 2, {1, 1, 0, 1, 2, 1, 1, 1})) == even);
  for (const char* schedule : {"gpipe", "zb-h1", "zb-2p"}) {
    Run run = dealt(4, 1, {1, 3, 3, 1});
    run.parallel.schedule = schedule;
    CHECK(totals(run) == even);
  }
}

TEST_CASE("no step is shorter than the work of its heaviest stage", "[strategies]") {
  // The stage has five layers. On one GPU, six layers take five layers more than one does.
  const auto alone = [](std::int64_t layers) {
    Run run = small_run(1, 1, 1);
    run.model = gpt(layers, 64, 8);
    return play_run(run).timeline.end;
  };
  const Seconds five = alone(6) - alone(1);
  for (const char* schedule : {"1f1b", "gpipe", "zb-h1", "zb-2p"}) {
    Run run = dealt(4, 1, {});
    run.parallel.schedule = schedule;
    const Seconds even = play_run(run).timeline.end;
    run.parallel.stage_layers = {1, 5, 1, 1};
    const Seconds heavy = play_run(run).timeline.end;
    CHECK(heavy > five);
    CHECK(heavy > even);
  }
}

TEST_CASE("a stage holds activations of its own layers", "[strategies]") {
  const Run run = dealt(4, 1, {1, 3, 3, 1});
  const Run even = dealt(4, 1, {});
  const auto kept = [](const Run& of, std::size_t stage) {
    Bytes most;
    for_every_op(lower(of), Rank(stage), [&](const Op& op) {
      if (const auto* alloc = std::get_if<Alloc>(&op.action)) {
        most = std::max(most, alloc->bytes);
      }
    });
    return most;
  };
  CHECK(2.0 * kept(run, 1) == 3.0 * kept(even, 1));
  CHECK(2.0 * kept(run, 0) == kept(even, 0));
}

TEST_CASE("a run file deals out layers", "[strategies]") {
  const Run run = resolve_text(
      spoilt(kRunFile, "pipeline = 4", "pipeline = 4\nstage_layers = [10, 12, 12, 10]"));
  CHECK(all_layers(run) == Layers{10, 12, 12, 10});
  const std::string counted = "pipeline = 2\nembedding_as_layer = true";
  CHECK(all_layers(resolve_text(spoilt(kRunFile, "pipeline = 4", counted))) == Layers{22, 22});
}

TEST_CASE("layers that are dealt out are all of the model's, and no stage stands idle",
          "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nstage_layers = [22, 22]") ==
      R"(run.toml:13:16: parallel.stage_layers: stage_layers has 2 entries, but pipeline 4 x virtual_stages 1 = 4
  stage_layers = [22, 22]
                 ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\nstage_layers = [11, 11, 11, 10]") ==
        R"(run.toml:13:16: parallel.stage_layers: stage_layers has 43 layers in all, the model 44
  stage_layers = [11, 11, 11, 10]
                 ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nstage_layers = [0, 0, 44, 0]") ==
      R"(run.toml:13:16: parallel.stage_layers: only the first and the last of stage_layers can be without layers
  stage_layers = [0, 0, 44, 0]
                 ^)");
}

TEST_CASE("embedding and head count as layers where there are stages and it comes out even",
          "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nembedding_as_layer = true") ==
      R"(run.toml:13:22: parallel.embedding_as_layer: pipeline 4 x virtual_stages 1 = 4 does not divide the 44 layers of the model with embedding and head, 46
  embedding_as_layer = true
                       ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 1\nembedding_as_layer = true") ==
      R"(run.toml:13:22: parallel.embedding_as_layer: embedding_as_layer has no effect with pipeline 1
  embedding_as_layer = true
                       ^)");
  CHECK(
      run_error("pipeline = 4",
                "pipeline = 2\nstage_layers = [22, 22]\nembedding_as_layer = true") ==
      R"(run.toml:14:22: parallel.embedding_as_layer: embedding_as_layer has no effect beside stage_layers
  embedding_as_layer = true
                       ^)");
}

TEST_CASE("stage_layers is a list of whole numbers", "[strategies]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nstage_layers = 11") ==
      R"(run.toml:13:16: parallel.stage_layers: expected a list of whole numbers, got 11 (a whole number)
  stage_layers = 11
                 ^)");
  CHECK(run_error("pipeline = 4", "pipeline = 4\nstage_layers = []") ==
        R"(run.toml:13:16: parallel.stage_layers: expected a list of whole numbers, got an empty one
  stage_layers = []
                 ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nstage_layers = [11, \"11\", -1, 12]") ==
      R"(run.toml:13:21: parallel.stage_layers[1]: expected a whole number from 0 to 100000, got "11" (text)
  stage_layers = [11, "11", -1, 12]
                      ^
run.toml:13:27: parallel.stage_layers[2]: expected a whole number from 0 to 100000, got -1
  stage_layers = [11, "11", -1, 12]
                            ^)");
}

}  // namespace foretrain::testing
