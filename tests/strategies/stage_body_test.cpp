// Activation memory over a step, against closed forms.
//
// s = 64 tokens, b = 2 sequences, h = 64, a = 8 heads, L = 8 layers, p = stages, m = 4
// micro-batches.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "sim/report/memory_curve.hpp"
#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

/// With the dropouts that the published formulas count.
Run trained_with_dropout(std::int64_t tensor, std::int64_t pipeline, Recompute recompute) {
  Run run = small_run(tensor, pipeline, 1);
  run.stack.kernels.dropout = true;
  run.training.recompute = recompute;
  return run;
}

double peak_activations(const Run& run, std::size_t rank) {
  return peak_held(lower(run), Rank(rank)).value;
}

}  // namespace

TEST_CASE("the first stage of 1F1B keeps p micro-batches of its layers' activations",
          "[strategies]") {
  // Korthikanti et al. 2022, eq. 1 and section 4.2.3: s b h (34 + 5 a s / h) per layer, L / p
  // layers on a stage, p micro-batches in flight; the embedding's dropout mask of s b h is theirs,
  // too.
  for (const std::int64_t p : {1, 2, 4}) {
    const double layers = 8.0 / static_cast<double>(p);
    const double head = p == 1 ? 4 * kSbh * (1 + 384.0 / 64) : 0;  // section 4.3, padded vocabulary
    const double expected = static_cast<double>(std::min<std::int64_t>(p, 4)) *
                            (layers * (34 * kSbh + 5 * kScores) + kSbh + head);
    CHECK(peak_activations(trained_with_dropout(1, p, Recompute::none), 0) == expected);
  }
}

TEST_CASE("stage s of 1F1B keeps p - s micro-batches, and the last the head's logits",
          "[strategies]") {
  const Run run = trained_with_dropout(1, 4, Recompute::none);
  const double stage = 2 * (34 * kSbh + 5 * kScores);
  CHECK(peak_activations(run, 1) == 3 * stage);
  CHECK(peak_activations(run, 2) == 2 * stage);
  CHECK(peak_activations(run, 3) == stage + 4 * kSbh * (1 + 384.0 / 64));
}

TEST_CASE("GPipe keeps all m micro-batches on every stage", "[strategies]") {
  Run run = trained_with_dropout(1, 2, Recompute::none);
  run.parallel.schedule = "gpipe";
  CHECK(peak_activations(run, 0) == 4 * (4 * (34 * kSbh + 5 * kScores) + kSbh));
}

TEST_CASE("interleaving keeps 1 + (p - 1) / (p v) times a whole model's activations",
          "[strategies]") {
  // Korthikanti et al. 2022, section 4.2.3: p v + p - 1 = 5 chunks of L / (p v) layers in flight on
  // the first stage. After the first backward, of chunk 1, four of them are of chunk 0, which has
  // the embedding's mask as well.
  Run run = trained_with_dropout(1, 2, Recompute::none);
  run.parallel.virtual_stages = 2;
  run.parallel.schedule = "interleaved-1f1b";
  run.training.global_batch = 16;  // m = 8
  const double model = 8 * (34 * kSbh + 5 * kScores);
  CHECK(peak_activations(run, 0) == model * 1.25 + 4 * kSbh);
}

TEST_CASE("interleaving keeps 1 + (p - 1) / (p v) times the activations for every p and v",
          "[strategies]") {
  // The same without dropout, so that the embedding keeps nothing: 32 s b h + 2 a s^2 b per layer.
  for (const auto& [p, v] : {std::pair{2, 2}, {2, 4}, {4, 2}}) {
    Run run = small_run(1, p, 1);
    run.parallel.virtual_stages = v;
    run.parallel.schedule = "interleaved-1f1b";
    run.training.global_batch = 32;  // m = 16
    const double model = 8 * (32 * kSbh + 2 * kScores);
    CHECK(peak_activations(run, 0) == model * (1 + (p - 1.0) / (p * v)));
  }
}

TEST_CASE("selective recomputation keeps 34 s b h and one layer's scores at a time",
          "[strategies]") {
  // Section 5: without the attention core, whose 5 a s^2 b are there again for one layer.
  const Run run = trained_with_dropout(1, 2, Recompute::selective);
  CHECK(peak_activations(run, 0) == 2 * (4 * 34 * kSbh + kSbh) + 5 * kScores);
}

TEST_CASE("full recomputation keeps 2 s b h per layer and one layer's activations at a time",
          "[strategies]") {
  const Run run = trained_with_dropout(1, 2, Recompute::full);
  // The layer under way has its input already: 34 - 2.
  CHECK(peak_activations(run, 0) == 2 * (4 * 2 * kSbh + kSbh) + 32 * kSbh + 5 * kScores);
}

TEST_CASE("tensor and sequence parallelism divide a layer's activations", "[strategies]") {
  // Section 4.2.1: s b h (10 + 24 / t + 5 a s / (h t)); section 4.2.2: all of it by t.
  Run run = trained_with_dropout(2, 2, Recompute::none);
  CHECK(peak_activations(run, 0) == 2 * (4 * (22 * kSbh + 2.5 * kScores) + kSbh));
  run.parallel.sequence_parallel = true;
  CHECK(peak_activations(run, 0) == 2 * (4 * (17 * kSbh + 2.5 * kScores) + kSbh / 2));
}

TEST_CASE("with sequence parallelism full recomputation keeps 2 s b h / t per layer",
          "[strategies]") {
  Run run = trained_with_dropout(2, 2, Recompute::full);
  run.parallel.sequence_parallel = true;
  CHECK(peak_activations(run, 0) == 2 * (4 * kSbh + kSbh / 2) + 16 * kSbh + 2.5 * kScores);
}

TEST_CASE("a run of kernels takes no less than its launches", "[strategies]") {
  // Kernels of this model take a few microseconds each.
  const Played free = play_run(small_run(1, 1, 1));
  for (const Seconds per_kernel : {Seconds(1e-9), Seconds(1e-3)}) {
    Run run = small_run(1, 1, 1);
    run.stack.host_per_kernel.value = per_kernel;
    const Played played = play_run(run);
    const std::vector<Op>& ops = played.program.bodies[0].streams[0].ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (const auto* kernels = std::get_if<Kernels>(&ops[i].action)) {
        const auto count =
            static_cast<double>(played.program.kernel_lists[kernels->list.index()].size());
        const auto duration = [i](const Played& of) {
          const Span& span = of.timeline.ranks[0][0][i];
          return (span.end - span.start).value;
        };
        const double expected = per_kernel > 1_us ? 1e-3 * count : duration(free);
        CHECK_THAT(duration(played), Catch::Matchers::WithinAbs(expected, 1e-9));
      }
    }
  }
}

TEST_CASE("the memory curve of a played step peaks where the program does", "[strategies]") {
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    const Run run = trained_with_dropout(2, 2, recompute);
    const Played played = play_run(run);
    for (std::size_t rank = 0; rank < 4; ++rank) {
      Bytes states;
      for (const Resident& resident : played.program.body_of(Rank(rank)).resident) {
        states += resident.bytes;
      }
      const auto curve = memory_curve(played.program, played.timeline, Rank(rank));
      CHECK(curve.front().total() == states);
      CHECK(curve.back().total() == states);
      CHECK(memory_peak(curve).total().value == states.value + peak_activations(run, rank));
    }
  }
}

}  // namespace foretrain::testing
