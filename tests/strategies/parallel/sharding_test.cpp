// What ZeRO-2, ZeRO-3 (FSDP) and hybrid sharding send, when, and what they hold meanwhile.
//
// P = parameters of a rank, of which E in the embedding, H in the head, L in each of 8 layers;
// m = 4 micro-batches. Gradients of the small stack take 4 bytes, parameters 2.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "sim/report/memory_curve.hpp"
#include "strategies/lower.hpp"
#include "strategies/parallel/data.hpp"
#include "strategies/stage.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/parallel/groups_of_ranks.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

/// Untied, so that the head has a matrix of its own.
Run sharded_run(std::int64_t data, std::int64_t zero) {
  Run run = small_run(1, 1, data);
  run.model.tied_embeddings = false;
  run.parallel.zero = zero;
  return run;
}

struct Units {
  double all;
  double embedding;
  double layer;
  double head;
};
Units units_of(const Run& run) {
  const StageShape shape = stage_shape(run, 0);
  return {static_cast<double>(shape.parameters), static_cast<double>(shape.embedding.parameters),
          static_cast<double>(shape.layer(0).work.parameters),
          static_cast<double>(shape.head.parameters)};
}

Bytes bytes(const Program& program, CollectiveKind kind,
            std::optional<Phase> phase = std::nullopt) {
  return collectives(program, Rank(0), "data", kind, phase).bytes;
}

/// When the compute stream ends the last op of the first micro-batch's forward pass.
double end_of_forward(const Played& played) {
  double end = 0;
  const Stream& compute = played.program.body_of(Rank(0)).streams[kCompute];
  for (std::size_t i = 0; i < compute.ops.size(); ++i) {
    if (compute.ops[i].phase == Phase::forward && compute.ops[i].micro_batch == 0) {
      end = std::max(end, played.timeline.ranks[0][kCompute][i].end.value);
    }
  }
  return end;
}

/// A collective of two ranks under the switch of small_cluster: half of the payload passes.
double two_rank_time(double payload) { return 11e-6 + payload / 2 / 100e9; }

double peak_of(const Played& played, MemoryClass memory) {
  double peak = 0;
  for (const MemoryPoint& point : memory_curve(played.program, played.timeline, Rank(0))) {
    peak = std::max(peak, point.held[static_cast<std::size_t>(memory)].value);
  }
  return peak;
}

}  // namespace

TEST_CASE("ZeRO-3 gathers parameters twice per micro-batch and scatters gradients once",
          "[strategies]") {
  // Rajbhandari et al. 2020, section 7.2.2: 3 psi. The embedding's backward needs no parameters.
  for (const auto& [accumulation, width] : {std::pair{Accumulation::sharded, 4.0},
                                            {Accumulation::in_gemm, 4.0},
                                            {Accumulation::separate_16_bit, 2.0}}) {
    Run run = sharded_run(4, 3);
    run.stack.accumulation = accumulation;
    const Program program = lower(run);
    const Units units = units_of(run);
    CHECK(bytes(program, CollectiveKind::all_gather).value ==
          kMicroBatches * 2 * (2 * units.all - units.embedding));
    CHECK(bytes(program, CollectiveKind::all_gather, Phase::forward).value ==
          kMicroBatches * 2 * units.all);
    CHECK(bytes(program, CollectiveKind::reduce_scatter).value ==
          kMicroBatches * width * units.all);
    CHECK(bytes(program, CollectiveKind::all_reduce) == Bytes(0));
    CHECK(bytes(program, CollectiveKind::all_gather, Phase::optimizer) == Bytes(0));
  }
}

TEST_CASE("under ZeRO-3 a tied head fetches the table that the embedding dropped", "[strategies]") {
  Run run = sharded_run(2, 3);
  run.model.tied_embeddings = true;
  const Units units = units_of(run);
  const double table = 384 * 64;  // 300 rows are padded
  CHECK(bytes(lower(run), CollectiveKind::all_gather).value ==
        kMicroBatches * 2 * (2 * (units.all + table) - units.embedding));
}

TEST_CASE("in fp32 sharded parameters travel as 4 bytes", "[strategies]") {
  for (const std::int64_t zero : {1, 3}) {
    Run run = sharded_run(2, zero);
    const Bytes narrow = bytes(lower(run), CollectiveKind::all_gather);
    run.training.precision = Dtype::fp32;
    CHECK(bytes(lower(run), CollectiveKind::all_gather) == 2.0 * narrow);
  }
}

TEST_CASE("a pipeline gathers ZeRO-3's parameters once per step and reduces once", "[strategies]") {
  Run run = small_run(2, 2, 2);
  run.parallel.zero = 3;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));  // what was gathered goes at the end
  for (const std::int64_t stage : {0, 1}) {
    const auto count = static_cast<double>(stage_shape(run, stage).parameters);
    const Rank rank(static_cast<std::size_t>(4 * stage));
    CHECK(collectives(program, rank, "data", CollectiveKind::all_gather).bytes.value == 2 * count);
    CHECK(collectives(program, rank, "data", CollectiveKind::reduce_scatter).bytes.value ==
          4 * count);
    CHECK(resident(program, rank, MemoryClass::parameters).value == std::ceil(2 * count / 2));
    // Sums stay whole until the last micro-batch.
    CHECK(resident(program, rank, MemoryClass::gradients).value == 4 * count);
  }
}

TEST_CASE("every schedule drops what ZeRO-3 gathered", "[strategies]") {
  for (const char* schedule : {"1f1b", "gpipe", "zb-h1", "zb-2p"}) {
    Run run = small_run(1, 4, 2);
    run.parallel.schedule = schedule;
    run.parallel.zero = 3;
    INFO(schedule);
    CHECK_NOTHROW(verify(lower(run)));
  }
}

TEST_CASE("ZeRO-2 scatters gradients after every micro-batch and gathers parameters once",
          "[strategies]") {
  for (const bool is_overlapped : {false, true}) {
    for (const Bytes bucket : {1_KiB, 300_KiB, 1_GB}) {
      Run run = sharded_run(2, 2);
      run.stack.overlap_gradients = is_overlapped;
      run.stack.bucket.value = bucket;
      const Program program = lower(run);
      const Units units = units_of(run);
      CHECK(bytes(program, CollectiveKind::reduce_scatter).value == kMicroBatches * 4 * units.all);
      CHECK(bytes(program, CollectiveKind::all_gather, Phase::optimizer).value == 2 * units.all);
      CHECK(bytes(program, CollectiveKind::all_gather).value == 2 * units.all);
    }
  }
}

TEST_CASE("ZeRO-2 empties its bucket as it fills, whether or not that overlaps", "[strategies]") {
  for (const bool is_overlapped : {false, true}) {
    Run run = sharded_run(2, 2);
    run.stack.overlap_gradients = is_overlapped;
    run.stack.bucket.value = 1_KiB;
    // The head, eight layers and the embedding, four times.
    CHECK(collectives(lower(run), Rank(0), "data", CollectiveKind::reduce_scatter).count == 40);
  }
}

TEST_CASE("hybrid sharding scatters inside a shard and sums the shard across", "[strategies]") {
  for (const std::int64_t zero : {1, 2, 3}) {
    Run run = sharded_run(8, zero);
    run.parallel.shard = 4;
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    const double times = zero == 1 ? 1 : kMicroBatches;
    const Units units = units_of(run);
    CHECK(bytes(program, CollectiveKind::reduce_scatter).value == times * 4 * units.all);
    CHECK(bytes(program, CollectiveKind::all_reduce).value == times * 4 * units.all / 4);
    CHECK(resident(program, Rank(0), MemoryClass::optimizer).value ==
          std::ceil(12 * units.all / 4));
    // Neighbours share; every fourth rank holds the same.
    CHECK(members(program, 5, kShardGroup) == std::vector{Rank(4), Rank(5), Rank(6), Rank(7)});
    CHECK(members(program, 5, kParameterGroup) == members(program, 5, kShardGroup));
    CHECK(members(program, 5, kReplicaGroup) == std::vector{Rank(1), Rank(5)});
  }
}

TEST_CASE("a shard of one rank is plain data parallelism", "[strategies]") {
  Run run = sharded_run(4, 1);
  run.parallel.shard = 1;
  const Program program = lower(run);
  CHECK(bytes(program, CollectiveKind::all_reduce).value == 4 * units_of(run).all);
  CHECK(bytes(program, CollectiveKind::reduce_scatter) == Bytes(0));
  CHECK(bytes(program, CollectiveKind::all_gather) == Bytes(0));
  CHECK(play_run(run).timeline.end.value == [&run] {
    run.parallel.zero = 0;
    run.parallel.shard.reset();
    return play_run(run).timeline.end.value;
  }());
}

TEST_CASE("overlapped parameters are gathered once, beside the first micro-batch", "[strategies]") {
  for (const std::int64_t zero : {1, 2}) {
    Run run = sharded_run(2, zero);
    const Seconds in_line = play_run(run).timeline.end;
    run.stack.overlap_parameters = true;
    const Program program = lower(run);
    const Units units = units_of(run);
    CHECK(bytes(program, CollectiveKind::all_gather).value == 2 * units.all);
    CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_gather, Phase::forward).count ==
          10);
    for_every_op(program, Rank(0), [&program](const Op& op) {
      CHECK((program.text(op.name) != "parameter all-gather" || op.micro_batch == 0));
    });
    run.cluster.node.collective_latency.value = 0_s;  // ten collectives have ten latencies
    run.cluster.node.hop_latency->value = 0_s;
    CHECK(play_run(run).timeline.end < in_line);
  }
}

TEST_CASE("at most two units of gathered parameters are there at a time", "[strategies]") {
  for (const double rate : {1e6, 1e9, 1e14}) {  // whether gathers or kernels take longer
    for (const double exposed : {0.0, 0.4, 1.0}) {
      Run run = sharded_run(2, 3);
      run.cluster.node.rate.value = BytesPerSecond(rate);
      run.stack.exposed_gathers.value = exposed;
      const Played played = play_run(run);
      const Units units = units_of(run);
      // The embedding is the largest unit, and a layer comes next to it.
      REQUIRE(units.embedding > units.layer);
      REQUIRE(units.layer > units.head);
      CHECK(peak_of(played, MemoryClass::buffers) == 2 * (units.embedding + units.layer));
      const auto curve = memory_curve(played.program, played.timeline, Rank(0));
      CHECK(curve.back().held[static_cast<std::size_t>(MemoryClass::buffers)] == Bytes(0));
    }
  }
}

TEST_CASE("gathers that compute waits for add exactly their time", "[strategies]") {
  // Forward only: in backward gradients share the links.
  Run run = sharded_run(2, 3);
  run.stack.exposed_gathers.value = 1;
  const Units units = units_of(run);
  const double alone = end_of_forward(play_run(sharded_run(1, 3)));
  const double gathers = two_rank_time(2 * units.embedding) +
                         kLayers * two_rank_time(2 * units.layer) + two_rank_time(2 * units.head);
  CHECK_THAT(end_of_forward(play_run(run)), WithinAbs(alone + gathers, 1e-9));
  // A share of them comes early, as its own collective.
  run.stack.exposed_gathers.value = 0.5;
  CHECK(end_of_forward(play_run(run)) > alone);
}

TEST_CASE("gathers hide behind the kernels of the layer before, where there is time",
          "[strategies]") {
  // A layer's 100 us of kernels and more; its parameters take 12 us.
  Run run = sharded_run(2, 3);
  run.stack.host_per_layer.value = 100_us;
  Run alone = sharded_run(1, 3);
  alone.stack.host_per_layer.value = 100_us;
  const Units units = units_of(run);
  // Layers 2 to 8 and the head are gathered in time. The first layer and the embedding are not.
  const double most = two_rank_time(2 * units.embedding) + two_rank_time(2 * units.layer);
  const double more = end_of_forward(play_run(run)) - end_of_forward(play_run(alone));
  CHECK(more > two_rank_time(2 * units.embedding) - 1e-9);
  CHECK(more < most + 1e-9);
}

TEST_CASE("gathers bound the step of ZeRO-3 on a slow network", "[strategies]") {
  Run run = sharded_run(2, 3);
  run.cluster.node.rate.value = BytesPerSecond(1e7);
  const Program program = lower(run);
  const double gathered = bytes(program, CollectiveKind::all_gather).value;
  const double scattered = bytes(program, CollectiveKind::reduce_scatter).value;
  // Half of each payload passes each link.
  const double step = play_run(run).timeline.end.value;
  CHECK(step > (gathered + scattered) / 2 / 1e7);
  CHECK(step < 1.1 * (gathered + scattered) / 2 / 1e7);
}

TEST_CASE("a share of the gradients waits for the end of backward", "[strategies]") {
  Run run = sharded_run(2, 0);
  run.stack.overlap_gradients = true;
  run.stack.bucket.value = 1_KiB;  // every unit fills it
  const Units units = units_of(run);
  for (const double share : {0.0, 0.25, 1.0}) {
    run.stack.exposed_gradients.value = share;
    const Program program = lower(run);
    CHECK_THAT(bytes(program, CollectiveKind::all_reduce).value, WithinRel(4 * units.all, 1e-12));
    CHECK_THAT(bytes(program, CollectiveKind::all_reduce, Phase::optimizer).value,
               WithinAbs(4 * units.all * share, 1e-6));
  }
  // All of them exposed is all of them in line.
  const double exposed = play_run(run).timeline.end.value;
  run.stack.exposed_gradients.value = 0;
  run.stack.overlap_gradients = false;
  CHECK_THAT(play_run(run).timeline.end.value, WithinRel(exposed, 1e-12));
}

}  // namespace foretrain::testing
