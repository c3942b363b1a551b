// Bodies whose backwards are split: the same work as whole ones, what waits in memory, and what the
// step gains.
//
// s = 64 tokens, b = 2 sequences, h = 64, a = 8 heads, L = 8 layers, p = 4 stages.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/split_backward.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kPaddedVocabulary = 384;

using NamedShape = std::pair<std::string, decltype(Kernel::shape)>;

/// All kernels of a rank, in no order.
std::vector<NamedShape> kernels_of(const Program& program, Rank rank) {
  std::vector<NamedShape> all;
  for_every_op(program, rank, [&](const Op& op) {
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        all.emplace_back(program.text(kernel.name), kernel.shape);
      }
    }
  });
  std::sort(all.begin(), all.end());
  return all;
}

Bytes peak_activations(const Run& run, std::size_t rank) {
  Bytes held;
  Bytes peak;
  for_every_op(lower(run), Rank(rank), [&](const Op& op) {
    if (const auto* alloc = std::get_if<Alloc>(&op.action)) {
      held += alloc->bytes;
    } else if (const auto* free = std::get_if<Free>(&op.action)) {
      held -= free->bytes;
    }
    CHECK(held >= Bytes(0));
    peak = std::max(peak, held);
  });
  CHECK(held == Bytes(0));
  return peak;
}

Run split_run(const char* schedule, std::int64_t micro_batches = 8) {
  Run run = small_run(1, 4, 1);
  run.training.global_batch = micro_batches * run.training.micro_batch;
  run.parallel.schedule = schedule;
  return run;
}

}  // namespace

TEST_CASE("split backwards do the kernels of whole ones, each as often", "[pipeline]") {
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    for (const Model& model : {gpt(8, 64, 8), neox(8, 64, 8), llama(8, 64, 8), mixtral(8, 64, 8)}) {
      Run run = small_run(2, 4, 1);
      run.model = model;
      run.training.recompute = recompute;
      run.stack.accumulation = Accumulation::separate_fp32;
      run.parallel.sequence_parallel = recompute == Recompute::full;
      const Program whole = lower(run);
      for (const char* schedule : {"zb-h1", "zb-2p"}) {
        run.parallel.schedule = schedule;
        INFO(schedule << ", " << model.name);
        const Program split = lower(run);
        for (std::size_t rank = 0; rank < split.ranks.size(); ++rank) {
          CHECK(kernels_of(split, Rank(rank)) == kernels_of(whole, Rank(rank)));
        }
      }
    }
  }
}

TEST_CASE("weight gradients are a third of a layer's GEMMs, and their operands wait for them",
          "[pipeline]") {
  const Run run = split_run("zb-h1");
  const SplitBackward split = split_backward(layer_work(run.model, shard_of(run)));
  // Projections hold 12 h^2 weights per layer: 24 s b h^2 FLOPs in each of the three passes.
  Flops sum;
  for (const Step& step : split.weight_gradient) {
    sum += flops(Kernel{NameId(0), std::get<Gemm>(step.what)});
  }
  CHECK(sum == Flops(24 * kSbh * 64));
  // In units of s b h elements, inputs of QKV, projection, up, down: 1 + 1 + 1 + 4; gradients of
  // their outputs: 3 + 1 + 4 + 1.
  CHECK(split.stored == Bytes(2 * 16 * kSbh));
}

TEST_CASE("stage s of ZB-H1 keeps p - s micro-batches, and the operands of s more", "[pipeline]") {
  // Per layer 32 s b h + 2 a s^2 b without dropouts (Korthikanti et al. 2022, eq. 1, less masks of
  // 2 s b h and a s^2 b and the 2 a s^2 b that the scores' dropout puts out); operands 32 s b h.
  // Two layers per stage.
  const Run run = split_run("zb-h1");
  const double kept = 2 * (32 * kSbh + 2 * kScores);
  const double stored = 2 * 32 * kSbh;
  CHECK(peak_activations(run, 0).value == 4 * kept);
  CHECK(peak_activations(run, 1).value == 3 * kept + stored);
  CHECK(peak_activations(run, 2).value == 2 * kept + 2 * stored);
  // The head keeps 4 s b (h + V) with the final norm's input, and waits with 2 s b (h + V).
  const double vocabulary = kPaddedVocabulary / 64;
  CHECK(peak_activations(run, 3).value ==
        kept + 4 * kSbh * (1 + vocabulary) + 3 * (stored + 2 * kSbh * (1 + vocabulary)));
}

TEST_CASE("ZB-H2 keeps 2 p - 1 micro-batches on the first stage", "[pipeline]") {
  const double kept = 2 * (32 * kSbh + 2 * kScores);
  CHECK(peak_activations(split_run("zb-2p"), 0).value == 7 * kept);
  CHECK(peak_activations(split_run("zb-2p"), 1).value == 5 * kept + 2 * (2 * 32 * kSbh));
  CHECK(peak_activations(split_run("zb-2p", 3), 0).value == 3 * kept);
}

TEST_CASE("with full recomputation the operands are all that waits for weight gradients",
          "[pipeline]") {
  Run run = split_run("zb-h1");
  run.training.recompute = Recompute::full;
  // Stage 2 after its third backward: two inputs of a micro-batch in flight, the operands of three.
  CHECK(peak_activations(run, 2).value == 2 * 2 * kSbh + 3 * (2 * 32 * kSbh));
}

TEST_CASE("stages of ZB-H2 do not wait for one another's norm", "[pipeline]") {
  for (const std::int64_t tensor : {1, 2}) {
    Run run = small_run(tensor, 4, 1);
    const auto norms = [&](const char* axis) {
      return collectives(lower(run), Rank(0), axis, CollectiveKind::all_reduce, Phase::optimizer)
          .count;
    };
    run.parallel.schedule = "zb-h1";
    CHECK(norms("model") == 1);
    CHECK(norms("tensor") == 0);
    CHECK(norms("embedding") == 1);
    run.parallel.schedule = "zb-2p";
    CHECK(norms("model") == 0);
    CHECK(norms("tensor") == tensor - 1);
    CHECK(norms("embedding") == 1);
  }
}

TEST_CASE("every gradient is summed over replicas once, whatever overlaps", "[pipeline]") {
  for (const bool overlap : {false, true}) {
    for (const std::int64_t zero : {0, 1}) {
      Run run = small_run(1, 4, 2);
      run.stack.overlap_gradients = overlap;
      run.parallel.zero = zero;
      const CollectiveKind kind =
          zero == 0 ? CollectiveKind::all_reduce : CollectiveKind::reduce_scatter;
      for (const char* schedule : {"1f1b", "zb-h1", "zb-2p"}) {
        run.parallel.schedule = schedule;
        const Program program = lower(run);
        for (std::size_t stage = 0; stage < 4; ++stage) {
          const StageShape shape = stage_shape(run, static_cast<std::int64_t>(stage));
          CHECK(collectives(program, Rank(2 * stage), "data", kind).bytes ==
                static_cast<double>(shape.parameters) * run.stack.gradient_size());
        }
      }
    }
  }
}

TEST_CASE("zero-bubble schedules shorten a step on a fast network", "[pipeline]") {
  const auto time = [](const char* schedule) {
    Run run = small_run(1, 4, 1);
    run.model = gpt(8, 1024, 8);
    run.training.sequence_length = 1024;
    run.training.global_batch = 32;  // m = 16
    run.parallel.schedule = schedule;
    return play_run(run).timeline.end;
  };
  const Seconds whole = time("1f1b");
  CHECK(time("zb-h1") < whole);
  CHECK(time("zb-2p") < time("zb-h1"));
}

}  // namespace foretrain::testing
