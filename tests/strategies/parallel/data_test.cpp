// What data parallelism sends: gradients once, and with ZeRO-1 parameters back.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/data.hpp"

#include "strategies/lower.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

constexpr CollectiveKind kDataKinds[] = {CollectiveKind::all_reduce, CollectiveKind::all_gather,
                                         CollectiveKind::reduce_scatter};

Bytes parameters_of(const Run& run, std::int64_t stage, Bytes each) {
  return static_cast<double>(stage_shape(run, stage).parameters) * each;
}

/// One rank of each stage: the first, as layouts number them.
std::size_t rank_of(const Run& run, std::int64_t stage) {
  return static_cast<std::size_t>(stage * run.parallel.tensor * run.data_parallel());
}

Volume on_data_axis(const Program& program, std::size_t rank, CollectiveKind kind) {
  return collectives(program, Rank(rank), "data", kind);
}

}  // namespace

TEST_CASE("without ZeRO each rank's gradients are all-reduced once, in the stack's width",
          "[strategies]") {
  for (const auto& [accumulation, width] : {std::pair{Accumulation::in_gemm, 4_B},
                                            {Accumulation::separate_16_bit, 2_B},
                                            {Accumulation::separate_fp32, 4_B}}) {
    for (const bool is_overlapped : {false, true}) {
      for (const std::int64_t pipeline : {1, 2}) {
        Run run = small_run(2, pipeline, 2);
        run.stack.accumulation = accumulation;
        run.stack.overlap_gradients = is_overlapped;
        run.stack.bucket.value = 20_KiB;
        const Program program = lower(run);
        for (std::int64_t stage = 0; stage < pipeline; ++stage) {
          const std::size_t rank = rank_of(run, stage);
          CHECK(on_data_axis(program, rank, CollectiveKind::all_reduce).bytes ==
                parameters_of(run, stage, width));
          CHECK(on_data_axis(program, rank, CollectiveKind::all_gather).count == 0);
          CHECK(on_data_axis(program, rank, CollectiveKind::reduce_scatter).count == 0);
        }
      }
    }
  }
}

TEST_CASE("ZeRO-1 scatters gradients and gathers the 16-bit parameters", "[strategies]") {
  // Rajbhandari et al. 2020, section 7: the volume of a reduce-scatter and an all-gather.
  for (const bool is_overlapped : {false, true}) {
    Run run = small_run(2, 2, 3);
    run.parallel.zero = 1;
    run.stack.overlap_gradients = is_overlapped;
    const Program program = lower(run);
    for (const std::int64_t stage : {0, 1}) {
      const std::size_t rank = rank_of(run, stage);
      CHECK(on_data_axis(program, rank, CollectiveKind::reduce_scatter).bytes ==
            parameters_of(run, stage, 4_B));
      CHECK(on_data_axis(program, rank, CollectiveKind::all_gather).bytes ==
            parameters_of(run, stage, 2_B));
      CHECK(on_data_axis(program, rank, CollectiveKind::all_reduce).count == 0);
    }
  }
}

TEST_CASE("a single replica sends nothing on the data axis", "[strategies]") {
  for (const std::int64_t zero : {0, 1}) {
    Run run = small_run(2, 2, 1);
    run.parallel.zero = zero;
    run.stack.overlap_gradients = true;
    const Program program = lower(run);
    for (const CollectiveKind kind : kDataKinds) {
      CHECK(on_data_axis(program, 0, kind).count == 0);
    }
  }
}

TEST_CASE("overlapped gradients go bucket by bucket, the rest at the end", "[strategies]") {
  Run run = small_run(1, 1, 2);
  run.stack.overlap_gradients = true;
  const StageShape shape = stage_shape(run, 0);
  SECTION("a bucket of a layer's size is full after every layer") {
    run.stack.bucket.value = static_cast<double>(shape.layer(0).work.parameters) * 4_B;
    // The head's norm joins the first layer; eight layers; the embedding.
    CHECK(on_data_axis(lower(run), 0, CollectiveKind::all_reduce).count == 9);
  }
  SECTION("an endless bucket is sent once") {
    run.stack.bucket.value = 1_GB;
    CHECK(on_data_axis(lower(run), 0, CollectiveKind::all_reduce).count == 1);
  }
}

TEST_CASE("overlapped gradients hide behind the backward of the last micro-batch", "[strategies]") {
  Run run = small_run(1, 1, 2);
  run.stack.bucket.value = 100_KiB;
  const Seconds in_line = play_run(run).timeline.end;
  run.stack.overlap_gradients = true;
  CHECK(play_run(run).timeline.end < in_line);
}

TEST_CASE("tied embeddings of two stages are summed once per step", "[strategies]") {
  // 512 padded rows over 2 ranks, of 64 fp32 numbers.
  const Run run = small_run(2, 4, 1);
  const Program program = lower(run);
  for (std::size_t rank = 0; rank < 8; ++rank) {
    const Volume volume = collectives(program, Rank(rank), "embedding", CollectiveKind::all_reduce);
    CHECK(volume.bytes == Bytes(rank < 2 || rank >= 6 ? 256 * 64 * 4 : 0));
  }
  Run untied = run;
  untied.model.tied_embeddings = false;
  CHECK(collectives(lower(untied), Rank(0), "embedding", CollectiveKind::all_reduce).count == 0);
}

TEST_CASE("the norm of the gradients is summed over a replica as one number", "[strategies]") {
  const Program program = lower(small_run(2, 2, 2));
  const Volume volume = collectives(program, Rank(0), "model", CollectiveKind::all_reduce);
  CHECK(volume.count == 1);
  CHECK(volume.bytes == 4_B);
}

}  // namespace foretrain::testing
