// Recomputation policies: what each keeps and runs again, and in which layers.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/recompute/recompute.hpp"

#include <algorithm>
#include <set>
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

Run above(Bytes size) {
  Run run = small_run(1, 1, 1);
  run.training.recompute = Recompute::above;
  run.training.recompute_above = size;
  return run;
}

std::set<std::string> names(const std::vector<Step>& steps) {
  std::set<std::string> set;
  for (const Step& step : steps) {
    set.insert(std::string(step.name));
  }
  return set;
}

Flops run_again(const Run& run) {
  const Program program = lower(run);
  Flops sum;
  for_every_op(program, Rank(0), [&](const Op& op) {
    const auto* kernels = std::get_if<Kernels>(&op.action);
    if (kernels != nullptr && op.phase == Phase::recompute) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        sum += flops(kernel);
      }
    }
  });
  return sum;
}

}  // namespace

TEST_CASE("every policy keeps between the layer's input and all, and runs again a part of forward",
          "[strategies]") {
  for (const RecomputePolicy& policy : recompute_policies()) {
    for (const Model& model : {gpt(8, 64, 8), neox(8, 64, 8), llama(8, 64, 8), mixtral(8, 64, 8)}) {
      Run run = above(Bytes(1000));
      run.model = model;
      run.training.recompute = policy.value;
      const Work layer = layer_work(run.model, shard_of(run));
      INFO(policy.name);
      CHECK(policy.kept(run, layer) <= saved_bytes(layer));
      CHECK(policy.kept(run, layer) >= recompute::full_kept(run, layer));
      const std::set<std::string> all = names(layer.forward);
      const std::set<std::string> again = names(policy.again(run, layer));
      CHECK(std::includes(all.begin(), all.end(), again.begin(), again.end()));
      CHECK(policy.flops(run) <= recompute::full_flops(run));
      CHECK((policy.kept(run, layer) < saved_bytes(layer)) == !again.empty());
    }
  }
}

TEST_CASE("activations above a size are made again by the steps that made them", "[strategies]") {
  // T h 2 bytes is the stream of 2 x 64 tokens: 16 KiB; 4 h wide tensors are four times that.
  const double stream = 2 * 64 * 64 * 2;
  const Work layer = layer_work(gpt(8, 64, 8), shard_of(above(Bytes(0))));
  SECTION("nothing is that large") {
    const Run run = above(Bytes(1e9));
    CHECK(recompute::above_again(run, layer).empty());
    CHECK(recompute::above_kept(run, layer) == saved_bytes(layer));
  }
  SECTION("the inner width of the MLP, and the scores of a s^2 b x 2 = 8 streams") {
    const Run run = above(Bytes(stream));
    const std::set<std::string> again = names(recompute::above_again(run, layer));
    CHECK(again.contains("mlp_up"));
    CHECK(again.contains("activation"));
    CHECK(again.contains("softmax"));
    CHECK(again.contains("enter_tensor_parallel"));
    CHECK_FALSE(again.contains("mlp_down"));
    CHECK_FALSE(again.contains("qkv"));
    CHECK(recompute::above_kept(run, layer).value ==
          saved_bytes(layer).value - 2 * 4 * stream - 8 * stream);
  }
  SECTION("all that anybody can make again: the layer's input is left") {
    const Run run = above(Bytes(1));
    CHECK(recompute::above_kept(run, layer).value == stream);
  }
}

TEST_CASE("the larger the threshold the more is kept and the less runs again", "[strategies]") {
  Bytes kept;
  Flops again(1e30);
  for (const double size : {1.0, 1e4, 2e4, 7e4, 1e6}) {
    const Run run = above(Bytes(size));
    const StageShape shape = stage_shape(run, 0);
    CHECK(shape.layer(0).kept >= kept);
    CHECK(run_again(run) <= again);
    kept = shape.layer(0).kept;
    again = run_again(run);
  }
}

TEST_CASE("recompute_first = n recomputes the first n layers of each chunk", "[strategies]") {
  // Megatron-LM's block method. Two stages of four layers, or four chunks of two.
  Run run = small_run(1, 2, 1);
  run.training.recompute = Recompute::full;
  const Flops all = run_again(run);
  for (const std::int64_t first : {1, 2, 3, 4, 9}) {
    run.training.recompute_first = first;
    const auto layers = static_cast<double>(std::min<std::int64_t>(first, 4));
    CHECK(run_again(run) == layers / 4 * all);
    CHECK(recomputed_share(run) == layers / 4);
  }
  run.training.recompute_first = 1;
  run.parallel.virtual_stages = 2;
  run.parallel.schedule = "interleaved-1f1b";
  CHECK(recomputed_share(run) == 0.5);
  CHECK(run_again(run) == 0.5 * all);
}

TEST_CASE("a policy's FLOPs are those of the program, where attention is unfused", "[strategies]") {
  for (const RecomputePolicy& policy : recompute_policies()) {
    Run run = above(Bytes(2e4));
    run.training.recompute = policy.value;
    INFO(policy.name);
    CHECK(recomputed_flops(run).value == Catch::Approx(run_again(run).value));
  }
}

TEST_CASE("keys of recomputation that cannot take effect are refused", "[strategies]") {
  const auto error = [](const std::string& keys) {
    return run_error("micro_batch = 4", "micro_batch = 4\n" + keys);
  };
  CHECK(error("recompute_above = \"64 MiB\"") == "");
  CHECK(error("recompute = \"full\"\nrecompute_first = 3") == "");
  CHECK(error("recompute_first = 3") ==
        R"(run.toml:9:19: training.recompute_first: has no effect with recompute = "none"; remove it
  recompute_first = 3
                    ^)");
  CHECK(
      error("recompute = \"full\"\nrecompute_every = 2\nrecompute_first = 3") ==
      R"(run.toml:11:19: training.recompute_first: recompute_every chooses the layers already; give one of them
  recompute_first = 3
                    ^)");
  CHECK(
      error("recompute = \"full\"\nrecompute_above = \"64 MiB\"") ==
      R"(run.toml:10:19: training.recompute_above: is a policy of its own: remove recompute = "full"
  recompute_above = "64 MiB"
                    ^)");
  CHECK(
      error("recompute = \"above\"") ==
      R"(run.toml:9:13: training.recompute: recompute_above must say above which size, such as "64 MiB"
  recompute = "above"
              ^)");
}

}  // namespace foretrain::testing
