// What tensor parallelism sends, against Shoeybi et al. 2019 and Korthikanti et al. 2022.
//
// m = micro-batches, l = layers of the stage; every collective carries the activation of one
// micro-batch, b s h elements of 2 bytes.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/tensor.hpp"

#include "strategies/lower.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr std::int64_t kStageLayers = 4;  // of one of two stages

Run tensor_run() {
  return small_run(2, 2, 1);
}  // ranks 0 and 1 are the first stage, 2 and 3 the last

Volume on_tensor_axis(const Program& program, std::size_t rank, CollectiveKind kind,
                      std::optional<Phase> phase = std::nullopt) {
  return collectives(program, Rank(rank), "tensor", kind, phase);
}

void check_volume(const Volume& volume, std::int64_t count) {
  CHECK(volume.count == count);
  CHECK(volume.bytes == static_cast<double>(count) * kActivation);
}

// The loss at the last stage adds two all-reduces, of a number of 4 bytes for each of 128 tokens.
constexpr std::int64_t kLossSums = 2 * kMicroBatches;
constexpr Bytes kLossSum(4.0 * 2 * 64);
void check_volume_and_loss(const Volume& volume, std::int64_t count) {
  CHECK(volume.count == count + kLossSums);
  CHECK(volume.bytes ==
        static_cast<double>(count) * kActivation + static_cast<double>(kLossSums) * kLossSum);
}

}  // namespace

TEST_CASE("a layer needs two all-reduces forward and two backward", "[strategies]") {
  const Program program = lower(tensor_run());
  const auto kind = CollectiveKind::all_reduce;
  // Besides, the first stage sums the embedding forward, and the last the head's input gradient.
  check_volume(on_tensor_axis(program, 0, kind, Phase::forward),
               kMicroBatches * (2 * kStageLayers + 1));
  check_volume(on_tensor_axis(program, 0, kind, Phase::backward), kMicroBatches * 2 * kStageLayers);
  check_volume_and_loss(on_tensor_axis(program, 3, kind, Phase::forward),
                        kMicroBatches * 2 * kStageLayers);
  check_volume(on_tensor_axis(program, 3, kind, Phase::backward),
               kMicroBatches * (2 * kStageLayers + 1));
  check_volume(on_tensor_axis(program, 0, CollectiveKind::all_gather), 0);
  check_volume(on_tensor_axis(program, 0, CollectiveKind::reduce_scatter), 0);
}

TEST_CASE("full recomputation adds the two all-reduces of a forward pass, selective none",
          "[strategies]") {
  Run run = tensor_run();
  run.training.recompute = Recompute::full;
  check_volume(on_tensor_axis(lower(run), 0, CollectiveKind::all_reduce, Phase::recompute),
               kMicroBatches * 2 * kStageLayers);
  run.training.recompute = Recompute::selective;
  check_volume(on_tensor_axis(lower(run), 0, CollectiveKind::all_reduce, Phase::recompute), 0);
}

TEST_CASE("with both branches side by side a layer needs one all-reduce forward and two backward",
          "[strategies]") {
  // The branches are summed before they leave; their norms differ, so each sends its own gradient.
  Run run = tensor_run();
  run.model = neox(8, 64, 8);
  const Program program = lower(run);
  check_volume(on_tensor_axis(program, 0, CollectiveKind::all_reduce, Phase::forward),
               kMicroBatches * (kStageLayers + 1));
  check_volume(on_tensor_axis(program, 0, CollectiveKind::all_reduce, Phase::backward),
               kMicroBatches * 2 * kStageLayers);
}

TEST_CASE(
    "sequence parallelism makes a gather and a scatter of each all-reduce and gathers inputs "
    "again",
    "[strategies]") {
  // Korthikanti et al. 2022, section 4.2.2: per layer and direction two gathers and two scatters;
  // backward two more gathers, of the inputs that were kept as 1/t.
  Run run = tensor_run();
  run.parallel.sequence_parallel = true;
  const Program program = lower(run);
  const auto gather = CollectiveKind::all_gather;
  const auto scatter = CollectiveKind::reduce_scatter;
  check_volume(on_tensor_axis(program, 0, CollectiveKind::all_reduce), 0);
  // The embedding's sum is a scatter, whose backward gathers.
  check_volume(on_tensor_axis(program, 0, scatter, Phase::forward),
               kMicroBatches * (2 * kStageLayers + 1));
  check_volume(on_tensor_axis(program, 0, gather, Phase::forward),
               kMicroBatches * 2 * kStageLayers);
  check_volume(on_tensor_axis(program, 0, scatter, Phase::backward),
               kMicroBatches * 2 * kStageLayers);
  check_volume(on_tensor_axis(program, 0, gather, Phase::backward),
               kMicroBatches * ((2 + 2) * kStageLayers + 1));
  // The head gathers its input, forward and again backward, and scatters the input's gradient.
  check_volume(on_tensor_axis(program, 2, gather, Phase::forward),
               kMicroBatches * (2 * kStageLayers + 1));
  check_volume(on_tensor_axis(program, 2, gather, Phase::backward),
               kMicroBatches * ((2 + 2) * kStageLayers + 1));
  check_volume(on_tensor_axis(program, 2, scatter, Phase::backward),
               kMicroBatches * (2 * kStageLayers + 1));
}

TEST_CASE("full recomputation with sequence parallelism repeats the forward gathers and scatters",
          "[strategies]") {
  Run run = tensor_run();
  run.parallel.sequence_parallel = true;
  run.training.recompute = Recompute::full;
  const Program program = lower(run);
  check_volume(on_tensor_axis(program, 0, CollectiveKind::all_gather, Phase::recompute),
               kMicroBatches * 2 * kStageLayers);
  check_volume(on_tensor_axis(program, 0, CollectiveKind::reduce_scatter, Phase::recompute),
               kMicroBatches * 2 * kStageLayers);
}

TEST_CASE("overlap moves collectives to a stream of their own and changes no volume",
          "[strategies]") {
  for (const bool sequence_parallel : {false, true}) {
    Run run = tensor_run();
    run.parallel.sequence_parallel = sequence_parallel;
    const Program in_line = lower(run);
    run.stack.overlap_tensor_parallel = true;
    const Program beside = lower(run);
    for (const auto kind :
         {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
      for (std::size_t rank = 0; rank < 4; ++rank) {
        CHECK(on_tensor_axis(beside, rank, kind).count ==
              on_tensor_axis(in_line, rank, kind).count);
        CHECK(on_tensor_axis(beside, rank, kind).bytes ==
              on_tensor_axis(in_line, rank, kind).bytes);
      }
    }
    CHECK(gemm_flops(beside, Rank(0)) == gemm_flops(in_line, Rank(0)));
    CHECK(std::any_of(
        beside.bodies[0].streams.begin(), beside.bodies[0].streams.end(),
        [](const Stream& stream) { return stream.name == "tensor" && !stream.ops.empty(); }));
  }
}

TEST_CASE("without tensor parallelism nothing is sent on its axis", "[strategies]") {
  const Program program = lower(small_run(1, 2, 1));
  for (const auto kind :
       {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    check_volume(on_tensor_axis(program, 0, kind), 0);
  }
}

TEST_CASE("a boundary's backward does what the other boundary's forward does", "[strategies]") {
  const auto enter = Boundary::enter_tensor_parallel;
  const auto leave = Boundary::leave_tensor_parallel;
  for (const bool sequence_parallel : {false, true}) {
    CHECK(boundary_collective(enter, Direction::backward, sequence_parallel) ==
          boundary_collective(leave, Direction::forward, sequence_parallel));
    CHECK(boundary_collective(leave, Direction::backward, sequence_parallel) ==
          boundary_collective(enter, Direction::forward, sequence_parallel));
  }
  CHECK(boundary_collective(leave, Direction::forward, false) == CollectiveKind::all_reduce);
  CHECK(boundary_collective(enter, Direction::forward, false) == std::nullopt);
  CHECK(boundary_collective(leave, Direction::forward, true) == CollectiveKind::reduce_scatter);
  CHECK(boundary_collective(enter, Direction::forward, true) == CollectiveKind::all_gather);
}

namespace {

/// Collectives take their bytes' time only, so that a split one is not slower for its latency. One
/// stage: nothing else is on the links.
Run without_latency(double rate, bool sequence_parallel) {
  Run run = small_run(2, 1, 1);
  run.parallel.sequence_parallel = sequence_parallel;
  run.cluster.node.rate.value = BytesPerSecond(rate);
  run.cluster.node.collective_latency.value = 0_s;
  run.cluster.node.hop_latency->value = 0_s;
  return run;
}

}  // namespace

TEST_CASE("partly hidden collectives move the bytes of those in line", "[strategies]") {
  for (const bool sequence_parallel : {false, true}) {
    for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
      Run run = tensor_run();
      run.parallel.sequence_parallel = sequence_parallel;
      run.training.recompute = recompute;
      const Program in_line = lower(run);
      for (const double share : {0.3, 0.5, 1.0}) {
        run.stack.hidden_tensor_parallel.value = share;
        const Program hidden = lower(run);
        CHECK_NOTHROW(verify(hidden));
        CHECK(gemm_flops(hidden, Rank(0)) == gemm_flops(in_line, Rank(0)));
        for (const auto kind : {CollectiveKind::all_reduce, CollectiveKind::all_gather,
                                CollectiveKind::reduce_scatter}) {
          for (std::size_t rank = 0; rank < 4; ++rank) {
            CHECK_THAT(
                on_tensor_axis(hidden, rank, kind).bytes.value,
                Catch::Matchers::WithinRel(on_tensor_axis(in_line, rank, kind).bytes.value, 1e-12));
          }
        }
      }
    }
  }
}

TEST_CASE("with nothing hidden there is no stream to hide in", "[strategies]") {
  Run run = tensor_run();
  run.stack.hidden_tensor_parallel.value = 0;
  for (const Body& body : lower(run).bodies) {
    for (const Stream& stream : body.streams) {
      CHECK(stream.name != "tensor");
    }
  }
}

TEST_CASE("the more of a collective is hidden, the shorter the step, at every network speed",
          "[strategies]") {
  for (const bool sequence_parallel : {false, true}) {
    for (const double rate : {1e8, 3e9, 1e11}) {
      Run run = without_latency(rate, sequence_parallel);
      const double in_line = play_run(run).timeline.end.value;
      double before = in_line;
      for (const double share : {0.25, 0.5, 1.0}) {  // whole bytes
        run.stack.hidden_tensor_parallel.value = share;
        const double step = play_run(run).timeline.end.value;
        CHECK(step <= before * (1 + 1e-9));
        before = step;
      }
      CHECK(before < in_line);
    }
  }
}

TEST_CASE("gathered logits are sent once per micro-batch, forward, in 16 bit", "[strategies]") {
  Run run = tensor_run();
  const auto gather = CollectiveKind::all_gather;
  CHECK(on_tensor_axis(lower(run), 2, gather).count == 0);
  run.stack.kernels.gathered_logits = true;
  const Program program = lower(run);
  const Volume volume = on_tensor_axis(program, 2, gather);
  CHECK(volume.count == kMicroBatches);
  CHECK(volume.bytes.value == kMicroBatches * 2.0 * 64 * 2 * 512);  // b s, 512 padded rows
  CHECK(on_tensor_axis(program, 2, gather, Phase::forward).count == kMicroBatches);
  CHECK(on_tensor_axis(program, 0, gather).count == 0);  // the last stage only
  CHECK_NOTHROW(verify(program));
}

}  // namespace foretrain::testing
