// The peak memory of played steps against closed forms: states after Rajbhandari et al. 2020,
// activations after Korthikanti et al. 2022, and what a stack adds to them.
//
// psi = parameters of a rank, d = 2 replicas, p = stages, m = 4 micro-batches, L = 8 layers of
// s = 64 tokens, b = 2 sequences, h = 64, a = 8 heads, V = 384 padded rows.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "sim/report/memory_curve.hpp"
#include "strategies/lower.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr double kReplicas = 2;
constexpr double kVocabulary = 384;

Run memory_run(std::int64_t pipeline, std::int64_t zero, Recompute recompute) {
  Run run = small_run(1, pipeline, 2);
  run.model.tied_embeddings = false;
  run.stack.kernels.dropout = true;  // which the formulas count
  run.stack.accumulation = Accumulation::separate_16_bit;
  run.parallel.zero = zero;
  run.training.recompute = recompute;
  return run;
}

/// Section 3.1 and figure 1: 2 psi + 2 psi + 12 psi, less what is sharded. A pipeline sums whole
/// gradients over its micro-batches.
double states(const Run& run, double psi) {
  const bool shares_gradients = run.parallel.zero >= 2 && run.parallel.pipeline == 1;
  return std::ceil(run.parallel.zero == 3 ? 2 * psi / kReplicas : 2 * psi) +
         std::ceil(shares_gradients ? 2 * psi / kReplicas : 2 * psi) +
         std::ceil(run.parallel.zero >= 1 ? 12 * psi / kReplicas : 12 * psi);
}

double saved_by_layer() { return 34 * kSbh + 5 * kScores; }

double kept_by_layer(Recompute recompute) {
  switch (recompute) {
    case Recompute::none:
      return saved_by_layer();
    case Recompute::selective:
      return 34 * kSbh;
    case Recompute::operators:
      return saved_by_layer() / 2;
    case Recompute::full:
      return 2 * kSbh;
    case Recompute::above:
      break;
  }
  return 0;
}

/// Of the first stage: p micro-batches in flight, each with the embedding's mask; of the last: one,
/// with 4 s b h (1 + V / h) of the head.
double activations(const Run& run, std::int64_t stage) {
  const std::int64_t p = run.parallel.pipeline;
  const double in_flight = static_cast<double>(p - stage);
  const double layers = 8.0 / static_cast<double>(p);
  const double each = layers * kept_by_layer(run.training.recompute) + (stage == 0 ? kSbh : 0) +
                      (stage == p - 1 ? 4 * kSbh * (1 + kVocabulary / 64) : 0);
  return in_flight * each;
}

double peak(const Played& played, std::size_t rank) {
  return memory_peak(memory_curve(played.program, played.timeline, Rank(rank))).total().value;
}

double held_at_peak(const Played& played, std::size_t rank, MemoryClass memory) {
  return memory_peak(memory_curve(played.program, played.timeline, Rank(rank)))
      .held[static_cast<std::size_t>(memory)]
      .value;
}

/// Of a pipeline of one stage. While the first layer runs backward, recomputed, its parameters are
/// there and those of the embedding come for the next micro-batch.
double peak_without_states(const Run& run, const StageShape& shape) {
  const double again = saved_by_layer() - kept_by_layer(run.training.recompute);
  const double gathered =
      run.parallel.zero == 3
          ? 2.0 * static_cast<double>(shape.embedding.parameters + shape.layer(0).work.parameters)
          : 0;
  return activations(run, 0) + again + gathered;
}

}  // namespace

TEST_CASE("the peak is that of the published formulas, for every ZeRO stage and recomputation",
          "[strategies]") {
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    for (const Recompute recompute :
         {Recompute::none, Recompute::selective, Recompute::operators, Recompute::full}) {
      const Run run = memory_run(1, zero, recompute);
      const StageShape shape = stage_shape(run, 0);
      INFO("zero " << zero << " recompute " << static_cast<int>(recompute));
      CHECK(peak(play_run(run), 0) == states(run, static_cast<double>(shape.parameters)) +
                                          peak_without_states(run, shape) +
                                          run.stack.context.value.value);
    }
  }
}

TEST_CASE("in a pipeline the first stage peaks with p micro-batches, the last with the logits",
          "[strategies]") {
  for (const std::int64_t p : {2, 4}) {
    for (const std::int64_t zero : {0, 1, 2, 3}) {
      for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
        const Run run = memory_run(p, zero, recompute);
        const Played played = play_run(run);
        for (const std::int64_t stage : {std::int64_t{0}, p - 1}) {
          const auto psi = static_cast<double>(stage_shape(run, stage).parameters);
          const double gathered = zero == 3 ? 2 * psi : 0;  // for the whole step
          const double again = saved_by_layer() - kept_by_layer(recompute);
          INFO("pipeline " << p << " zero " << zero << " recompute " << static_cast<int>(recompute)
                           << " stage " << stage);
          CHECK(peak(played, static_cast<std::size_t>(2 * stage)) ==
                states(run, psi) + activations(run, stage) + again + gathered +
                    run.stack.context.value.value);
        }
      }
    }
  }
}

TEST_CASE("the logits are a row of 4 b s V / t bytes, of the last stage", "[strategies]") {
  // Korthikanti et al. 2022, section 4.3: 4 s b h / t (V / h).
  Run run = small_run(2, 2, 1);
  const Played played = play_run(run);
  const double padded = 512;  // 300 over two ranks of 128 rows or a multiple
  CHECK(held_at_peak(played, 0, MemoryClass::logits) == 0);
  CHECK(held_at_peak(played, 2, MemoryClass::logits) == 4 * 2 * 64 * padded / 2);
  SECTION("gathered, every rank has them all: 4 in fp32, 2 as gathered, 4 of their softmax") {
    run.stack.kernels.gathered_logits = true;
    CHECK(held_at_peak(play_run(run), 2, MemoryClass::logits) == (4 + 2 + 4) * 2 * 64 * padded);
  }
}

TEST_CASE("slack is a share of the most that comes and goes", "[strategies]") {
  for (const std::int64_t zero : {1, 3}) {
    Run run = memory_run(1, zero, Recompute::full);
    const double tight = peak(play_run(run), 0);
    run.stack.allocator_slack.value = 0.25;
    const Played played = play_run(run);
    const double most = peak_without_states(run, stage_shape(run, 0));
    CHECK(peak(played, 0) == tight + 0.25 * most);
    CHECK(held_at_peak(played, 0, MemoryClass::slack) == 0.25 * most);
  }
}

TEST_CASE("communicators take memory where there is someone to talk to", "[strategies]") {
  for (const std::int64_t data : {1, 2}) {
    Run run = small_run(1, 1, data);
    run.stack.communicators.value = 1_GiB;
    CHECK(resident(lower(run), Rank(0), MemoryClass::communicators) ==
          (data == 1 ? Bytes(0) : Bytes(1_GiB)));
  }
}

TEST_CASE("a stack may say what the optimizer keeps, and FSDP keeps fp32 parameters",
          "[strategies]") {
  Run run = memory_run(1, 0, Recompute::none);
  const auto psi = static_cast<double>(stage_shape(run, 0).parameters);
  run.stack.optimizer_state_bytes.value = 6;
  CHECK(resident(lower(run), Rank(0), MemoryClass::optimizer).value == 6 * psi);
  run.stack.optimizer_state_bytes.value = 0;
  run.stack.accumulation = Accumulation::sharded;
  run.parallel.zero = 3;
  const Program program = lower(run);  // 4 + 4 + 8 bytes, halved
  CHECK(resident(program, Rank(0), MemoryClass::parameters).value == 2 * psi);
  CHECK(resident(program, Rank(0), MemoryClass::gradients).value == 2 * psi);
  CHECK(resident(program, Rank(0), MemoryClass::optimizer).value == 4 * psi);
}

TEST_CASE("per-operator recomputation is between none and full, in time and in memory",
          "[strategies]") {
  const auto time_and_peak = [](Recompute recompute) {
    const Played played = play_run(memory_run(1, 0, recompute));
    return std::pair(played.timeline.end, peak(played, 0));
  };
  const auto [none_time, none_peak] = time_and_peak(Recompute::none);
  const auto [half_time, half_peak] = time_and_peak(Recompute::operators);
  const auto [full_time, full_peak] = time_and_peak(Recompute::full);
  CHECK(none_time < half_time);
  CHECK(half_time < full_time);
  CHECK(none_peak > half_peak);
  CHECK(half_peak > full_peak);
}

TEST_CASE("recompute_every = n recomputes each n-th layer and keeps the others", "[strategies]") {
  const auto recomputed_flops = [](const Run& run) {
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
  };
  Run run = memory_run(1, 0, Recompute::full);
  const Flops all = recomputed_flops(run);
  const double before = peak(play_run(run), 0);
  // Of layers 0 to 7: 0 2 4 6; 0 3 6; 0 alone.
  for (const auto& [every, layers] : {std::pair{2, 4.0}, {3, 3.0}, {8, 1.0}, {100, 1.0}}) {
    run.training.recompute_every = every;
    CHECK(recomputed_flops(run) == layers / 8 * all);
    CHECK(peak(play_run(run), 0) ==
          before + (8 - layers) * (saved_by_layer() - kept_by_layer(Recompute::full)));
  }
}

}  // namespace foretrain::testing
