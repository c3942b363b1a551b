// Runs of models whose layers and blocks differ: what is refused, and what stages send and compute.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::string run_of(const std::string& model, std::int64_t sequence, const std::string& parallel) {
  return "model = \"" + model + "\"\nplatform = \"dgx-h100\"\nnodes = 4\n\n[training]\n" +
         "sequence_length = " + std::to_string(sequence) + "\nglobal_batch = 256\n\n[parallel]\n" +
         parallel;
}

// A tower of 4 layers of 32 that looks at 2 images of 8 patches, before 4 layers of 64.
Run seeing_run(std::int64_t pipeline) {
  Run run = small_run(1, pipeline, 1);
  run.model = llama(4, 64, 8);
  run.model.vocabulary = 300;
  VisionTower tower;
  tower.layers = 4;
  tower.hidden = 32;
  tower.heads = 4;
  tower.ffn = 64;
  tower.patch_elements = 12;
  tower.patches = 8;
  tower.images = 2;
  tower.merged_patches = 2;
  tower.projector_hidden = 48;
  run.model.vision = tower;
  run.model.layers += tower.layers;
  return run;
}

TEST_CASE("a sequence may be longer than the window of the model", "[strategies]") {
  CHECK(mistakes_in(run_of("mistral-7b", 16384, "tensor = 2\n")).empty());
  const Run run = resolve_text(run_of("gemma-2-27b", 8192, "tensor = 8\n"));
  const StageShape shape = stage_shape(run, 0);
  CHECK(shape.kinds.size() == 2);
  CHECK(shape.kind_of_layer[0] == 0);
  CHECK(shape.kind_of_layer[1] == 1);
}

TEST_CASE("tensor parallelism divides the heads of a vision tower as well", "[strategies]") {
  CHECK(contains(mistakes_in(run_of("llava-1.5-7b", 2048, "tensor = 32\n")),
                 "tensor 32 does not divide the model's vision.heads 16"));
}

TEST_CASE("images need room in the sequence", "[strategies]") {
  CHECK(contains(mistakes_in(run_of("llava-1.5-7b", 512, "tensor = 2\n")),
                 "sequence_length 512 has no room for the 576 tokens of the model's images"));
  CHECK(mistakes_in(run_of("llava-1.5-7b", 576, "tensor = 2\n")).empty());
}

TEST_CASE("context parallelism with what passes along the sequence otherwise is refused",
          "[strategies]") {
  const std::string context = "context = 2\n";
  CHECK(contains(mistakes_in(run_of("llava-1.5-7b", 2048, context)),
                 "context 2 with a vision tower is not modelled"));
  CHECK(contains(mistakes_in(run_of("rwkv-6-3b", 2048, context)),
                 "context 2 with mixer 'rwkv_time_mix' is not modelled: a state passes"));
}

TEST_CASE("context parallelism exchanges latent attention's keys and values at their own widths",
          "[strategies]") {
  // One core in each of 8 layers, forward and backward, 4 micro-batches; a gather each of 2
  // sequences of 64 tokens of 8 heads of 24 + 8 for keys and 16 for values, in 16 bit.
  Run run = small_run(1, 1, 1);
  run.nodes = 2;
  run.model.position = PositionKind::rotary;
  run.model.max_positions = 0;
  run.model.head_dim = 24;
  run.model.mixer = {"latent_attention", {0, 32, 8, 16}};
  run.stack.kernels.attention = AttentionKernel::flash2;
  run.parallel.context = 2;
  const Volume gathers = collectives(lower(run), Rank(0), "context", CollectiveKind::all_gather);
  CHECK(gathers.count == 2 * 8 * 4);
  CHECK(gathers.bytes == static_cast<double>(gathers.count) * Bytes(2.0 * 2 * 64 * 8 * (32 + 16)));
}

TEST_CASE("ranks may outnumber the key-value heads, if they are a multiple", "[strategies]") {
  CHECK(mistakes_in(run_of("llama-3-70b", 2048, "tensor = 16\n")).empty());
  CHECK(contains(mistakes_in(run_of("qwen2-7b", 2048, "tensor = 7\n")),
                 "tensor 7 does not divide the model's kv_heads 4"));
}

TEST_CASE("a stage of a vision tower sends its own, narrower stream", "[strategies]") {
  // 2 sequences of 2 images of 8 tokens of 32 numbers, in 16 bit; 4 micro-batches. The tower is the
  // first of two stages, and the first half of four.
  const Volume tower = sends(lower(seeing_run(2)), Rank(0));
  CHECK(tower.count == 4);
  CHECK(tower.bytes == Bytes(4 * 2.0 * (2 * 2 * 8 * 32)));
  // The third stage sends 2 x 64 tokens of 64 numbers on, and as much as it got back.
  const Volume third = sends(lower(seeing_run(4)), Rank(2));
  CHECK(third.bytes == Bytes(4 * 2.0 * (2 * 64 * 64) + 4 * 2.0 * (2 * 2 * 8 * 32)));
}

TEST_CASE("the stages of a model whose layers differ hold and compute all of it", "[strategies]") {
  for (const std::int64_t stages : {1, 2, 4}) {
    const Run run = seeing_run(stages);
    std::int64_t held = 0;
    double flops = 0;
    const Program program = lower(run);
    for (std::int64_t stage = 0; stage < stages; ++stage) {
      held += stage_shape(run, stage).parameters;
      flops += gemm_flops(program, Rank(static_cast<std::size_t>(stage))).value;
    }
    // The token embedding and the head are padded from 300 to 384 rows of 64.
    CHECK(held == parameters(run.model) + 2 * 84 * 64);
    // Forward, and twice that backward but for the patches, whose input needs no gradient; 8
    // sequences. Padding computes 84 more logits.
    const double padding = 3 * 8 * 2.0 * 64 * 64 * 84;
    const double pixels = 8 * embedding_flops(run.model, 64).value;
    CHECK(flops == Approx(model_flops(run).value + padding - pixels).epsilon(1e-12));
  }
}

TEST_CASE("the last stage sums its copy of the embedding when it predicts tokens beyond the next",
          "[strategies]") {
  Run run = small_run(1, 2, 1);
  run.model = llama(4, 64, 8);
  run.model.vocabulary = 300;
  CHECK(collectives(lower(run), Rank(0), "embedding", CollectiveKind::all_reduce).count == 0);
  run.model.multi_token_predictions = 1;
  const Volume sum = collectives(lower(run), Rank(0), "embedding", CollectiveKind::all_reduce);
  CHECK(sum.count == 1);
  CHECK(sum.bytes == 384.0 * 64 * run.stack.gradient_size());
}

TEST_CASE("full recomputation runs neither patches nor head again", "[strategies]") {
  Run run = seeing_run(1);
  const double once = forward_flops(run.model, 64).value;
  const double outside = head_flops(run.model, 64).value + embedding_flops(run.model, 64).value;
  run.training.recompute = Recompute::full;
  CHECK(hardware_flops(run).value == Approx(8 * (3 * once + once - outside)).epsilon(1e-12));
}

}  // namespace
}  // namespace foretrain::testing
