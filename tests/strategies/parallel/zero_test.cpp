// What the keys of [sharding] change: volumes and memory against the closed forms of the ZeRO
// papers.
//
// P = parameters of a rank; m = 4 micro-batches unless a test says otherwise. Gradients of the
// small stack take 4 bytes, parameters 2.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "sim/report/memory_curve.hpp"
#include "strategies/lower.hpp"
#include "strategies/parallel/data.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/parallel/groups_of_ranks.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

Run zero_run(std::int64_t data, std::int64_t zero, std::int64_t micro_batches = 4) {
  Run run = small_run(1, 1, data);
  run.model.tied_embeddings = false;
  run.parallel.zero = zero;
  run.training.global_batch = micro_batches * run.training.micro_batch * data;
  return run;
}

/// Elements that a rank sends in a step: an all-reduce is a reduce-scatter and an all-gather.
double volume(const Run& run) {
  const Program program = lower(run);
  const auto sent = [&](CollectiveKind kind) {
    return collectives(program, Rank(0), "data", kind).bytes.value;
  };
  return 2 * sent(CollectiveKind::all_reduce) / 4 + sent(CollectiveKind::reduce_scatter) / 4 +
         sent(CollectiveKind::all_gather) / 2;
}

/// Payloads of a rank's collectives of one kind in one slot.
double in_slot(const Program& program, std::uint32_t slot, CollectiveKind kind) {
  double sum = 0;
  for_every_op(program, Rank(0), [&](const Op& op) {
    const auto* collective = std::get_if<Collective>(&op.action);
    if (collective != nullptr && collective->communicator == slot && collective->kind == kind) {
      sum += collective->payload.value;
    }
  });
  return sum;
}

double peak_buffers(const Run& run) {
  const Played played = play_run(run);
  double peak = 0;
  for (const MemoryPoint& point : memory_curve(played.program, played.timeline, Rank(0))) {
    peak = std::max(peak, point.held[static_cast<std::size_t>(MemoryClass::buffers)].value);
  }
  return peak;
}

}  // namespace

TEST_CASE("a step sends 2 psi, and 3 psi where parameters are gathered twice", "[strategies]") {
  // Rajbhandari et al. 2020, section 7; the embedding's backward needs no parameters.
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    const Run run = zero_run(4, zero, 1);
    const double psi = parameters_of(run);
    const auto embedding = static_cast<double>(stage_shape(run, 0).embedding.parameters);
    CHECK_THAT(volume(run), WithinRel(zero == 3 ? 3 * psi - embedding : 2 * psi, 1e-12));
  }
  Run kept = zero_run(4, 3, 1);
  kept.sharding.reshard_after_forward = false;
  CHECK_THAT(volume(kept), WithinRel(2 * parameters_of(kept), 1e-12));
  // With accumulation ZeRO-2 reduces every time, as DeepSpeed does.
  CHECK_THAT(volume(zero_run(4, 1)), WithinRel(2 * parameters_of(kept), 1e-12));
  CHECK_THAT(volume(zero_run(4, 2)), WithinRel((kMicroBatches + 1) * parameters_of(kept), 1e-12));
}

TEST_CASE("gradients are reduced when a run says so: every time, or the last", "[strategies]") {
  Run run = zero_run(4, 0);
  run.sharding.reduce_every_micro_batch = true;  // DDP without no_sync
  CHECK_THAT(volume(run), WithinRel(2 * kMicroBatches * parameters_of(run), 1e-12));
  Run last = zero_run(4, 2);
  last.sharding.reduce_every_micro_batch = false;
  const Program program = lower(last);
  CHECK_THAT(volume(last), WithinRel(2 * parameters_of(last), 1e-12));
  CHECK(resident(program, Rank(0), MemoryClass::gradients).value == 4 * parameters_of(last));
}

TEST_CASE("kept parameters are all there between forward and backward", "[strategies]") {
  Run run = zero_run(2, 3);
  run.sharding.reshard_after_forward = false;
  CHECK(peak_buffers(run) == 2 * parameters_of(run));
  CHECK_NOTHROW(verify(lower(run)));
}

TEST_CASE("at most n units of parameters are gathered at a time", "[strategies]") {
  const Run plain = zero_run(2, 3);
  const StageShape shape = stage_shape(plain, 0);
  const double first = 2 * static_cast<double>(shape.embedding.parameters);
  const double layer = 2 * static_cast<double>(shape.layer(0).work.parameters);
  REQUIRE(first > layer);
  for (const double rate : {1e6, 1e9, 1e14}) {
    for (const std::int64_t units : {1, 2, 3, 5}) {
      Run run = plain;
      run.cluster.node.rate.value = BytesPerSecond(rate);
      run.sharding.units_in_flight = units;
      const double most = first + static_cast<double>(units - 1) * layer;
      CHECK(peak_buffers(run) <= most);
      if (units <= 2) {
        CHECK(peak_buffers(run) == most);
      }
    }
  }
  SECTION("or as much as may live") {
    Run run = plain;
    run.sharding.units_in_flight = 8;
    run.sharding.max_live = Bytes(first + layer);
    CHECK(peak_buffers(run) == first + layer);
  }
}

TEST_CASE("without prefetching every gather waits for compute and delays it", "[strategies]") {
  Run run = zero_run(2, 3);
  const double ahead = play_run(run).timeline.end.value;
  run.sharding.forward_prefetch = false;
  const double forward = play_run(run).timeline.end.value;
  run.sharding.backward_prefetch = false;
  const double none = play_run(run).timeline.end.value;
  CHECK(forward > ahead);
  CHECK(none > forward);
  run.sharding = {};
  run.stack.exposed_gathers.value = 1;
  CHECK_THAT(play_run(run).timeline.end.value, WithinRel(none, 1e-9));
}

TEST_CASE("what fits the prefetch bucket comes ahead, the rest when it is needed", "[strategies]") {
  Run run = zero_run(2, 3);
  run.cluster.node.rate.value = BytesPerSecond(1e9);
  const double all_ahead = play_run(run).timeline.end.value;
  run.sharding.prefetch_bucket = 1_B;
  const double nothing = play_run(run).timeline.end.value;
  run.sharding.prefetch_bucket = Bytes(20e3);
  const double some = play_run(run).timeline.end.value;
  CHECK(all_ahead < some);
  CHECK(some < nothing);
  CHECK_THAT(volume(run), WithinRel(volume(zero_run(2, 3)), 1e-12));
}

TEST_CASE("small tensors stay gathered, and are gathered once after the update", "[strategies]") {
  // Per layer of hidden h = 64: matrices of 3 h^2, h^2, 4 h^2 and 4 h^2; norms and biases of 13 h.
  Run run = zero_run(2, 3, 1);
  const double whole = volume(run);
  run.sharding.persistence_threshold = Bytes(2 * 4 * 64);  // the widest bias
  const Program program = lower(run);
  const double persistent = 8 * 13 * 64 + 2 * 64;  // and the head's norm
  CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_gather, Phase::optimizer)
            .bytes.value == 2 * persistent);
  CHECK_THAT(volume(run), WithinRel(whole - persistent, 1e-12));
  CHECK(resident(program, Rank(0), MemoryClass::parameters).value ==
        parameters_of(run) + 2 * persistent);
}

TEST_CASE("tensor by tensor there is a gather for each matrix", "[strategies]") {
  Run run = zero_run(2, 3, 1);
  run.sharding.gather_by_tensor = true;
  const Volume gathers = collectives(lower(run), Rank(0), "data", CollectiveKind::all_gather);
  // Four in a layer, forward and backward; the head's twice; the embedding's once.
  CHECK(gathers.count == 2 * 4 * 8 + 2 + 1);
  CHECK_THAT(volume(run), WithinRel(volume(zero_run(2, 3, 1)), 1e-12));
}

TEST_CASE("a secondary shard keeps backward's gathers inside the node", "[strategies]") {
  // Wang et al. 2023 (ZeRO++): no traffic between nodes, for 2 psi / g bytes.
  Run run = zero_run(8, 3);
  run.sharding.secondary_shard = 4;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  const double psi = parameters_of(run);
  const auto embedding = static_cast<double>(stage_shape(run, 0).embedding.parameters);
  CHECK(in_slot(program, kParameterGroup, CollectiveKind::all_gather) == kMicroBatches * 2 * psi);
  CHECK(in_slot(program, kSecondaryGroup, CollectiveKind::all_gather) ==
        kMicroBatches * 2 * (psi - embedding));
  REQUIRE(run.cluster.gpus_per_node == 4);
  CHECK(members(program, 6, kSecondaryGroup) == std::vector{Rank(4), Rank(5), Rank(6), Rank(7)});
  CHECK(members(program, 6, kParameterGroup).size() == 8);
  CHECK(resident(program, Rank(0), MemoryClass::parameters).value ==
        std::ceil(2 * psi / 8) + std::ceil(2 * psi / 4));
}

TEST_CASE("repeated shards may be summed after the last micro-batch only", "[strategies]") {
  // As MiCS does (Zhang et al. 2022): two-hop gradient synchronisation.
  Run run = zero_run(8, 3);
  run.parallel.shard = 4;
  const double every = in_slot(lower(run), kReplicaGroup, CollectiveKind::all_reduce);
  run.sharding.sum_replicas_every_micro_batch = false;
  CHECK(in_slot(lower(run), kReplicaGroup, CollectiveKind::all_reduce) == every / kMicroBatches);
  CHECK(every == kMicroBatches * 4 * parameters_of(run) / 4);
}

TEST_CASE("buckets have the size that a run says, the first a size of its own", "[strategies]") {
  Run run = zero_run(2, 0, 1);
  run.sharding.overlap_gradients = true;
  run.sharding.gradient_bucket = Bytes(50e3);
  const double bytes = 4 * parameters_of(run);
  const auto count = [&] {
    return collectives(lower(run), Rank(0), "data", CollectiveKind::all_reduce).count;
  };
  CHECK(count() >= static_cast<std::int64_t>(std::ceil(bytes / 50e3)));
  CHECK_THAT(volume(run), WithinRel(2 * parameters_of(run), 1e-12));
  // A huge bucket is sent once, unless the first is full after the head's norm.
  run.sharding.gradient_bucket = 1_GB;
  CHECK(count() == 1);
  run.sharding.first_bucket = 1_B;
  CHECK(count() == 2);
  // The stack's bucket yields to the run's, and overlap as well.
  run.sharding.overlap_gradients = false;
  CHECK(count() == 1);
}

TEST_CASE("updated parameters are gathered in buckets", "[strategies]") {
  Run run = zero_run(2, 1);
  run.sharding.gather_bucket = Bytes(std::ceil(2 * parameters_of(run) / 3));
  const Volume gathers = collectives(lower(run), Rank(0), "data", CollectiveKind::all_gather);
  CHECK(gathers.count == 3);
  CHECK_THAT(gathers.bytes.value, WithinRel(2 * parameters_of(run), 1e-12));
}

TEST_CASE("shares of unlike size are broadcast by their owners, one after the other",
          "[strategies]") {
  Run run = zero_run(4, 1);
  const double gathered = play_run(run).timeline.end.value;
  run.stack.gathers_by_broadcasts = true;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_gather).count == 0);
  const Volume shares = collectives(program, Rank(3), "data", CollectiveKind::broadcast);
  CHECK(shares.count == 4);
  CHECK_THAT(shares.bytes.value, WithinRel(2 * parameters_of(run), 1e-12));
  CHECK(play_run(run).timeline.end.value > gathered);  // latencies add up
  SECTION("but ZeRO-3 gathers its units") {
    run.parallel.zero = 3;
    CHECK(collectives(lower(run), Rank(0), "data", CollectiveKind::broadcast).count == 0);
  }
}

TEST_CASE("ZeRO-3 gathers each chunk of an interleaved pipeline once per step", "[strategies]") {
  Run run = small_run(1, 2, 2);
  run.parallel.schedule = "interleaved-1f1b";
  run.parallel.virtual_stages = 2;
  run.parallel.zero = 3;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  for (const std::int64_t stage : {0, 1}) {
    const auto psi = static_cast<double>(stage_shape(run, stage).parameters);
    const Rank rank(static_cast<std::size_t>(2 * stage));
    CHECK(collectives(program, rank, "data", CollectiveKind::all_gather).bytes.value == 2 * psi);
    CHECK(collectives(program, rank, "data", CollectiveKind::reduce_scatter).bytes.value ==
          4 * psi);
  }
  SECTION("or in every pass, where they are dropped") {
    run.sharding.reshard_after_forward = true;
    const Program again = lower(run);
    CHECK_NOTHROW(verify(again));
    CHECK(collectives(again, Rank(0), "data", CollectiveKind::all_gather).bytes.value >
          (2 * kMicroBatches - 1) * 2 *
              static_cast<double>(stage_shape(run, 0).layer(0).work.parameters) * 4);
  }
}

TEST_CASE("replicas that average sum no gradients, and send 4 psi / H bytes a step",
          "[strategies]") {
  Run run = zero_run(4, 0);
  run.sharding.average_every = 50;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  const double psi = parameters_of(run);
  CHECK(in_slot(program, kDataGroup, CollectiveKind::all_reduce) == 0);
  CHECK_THAT(in_slot(program, kReplicaGroup, CollectiveKind::all_reduce),
             WithinRel(4 * psi / 50, 1e-12));
  CHECK(members(program, 1, kReplicaGroup) == std::vector{Rank(0), Rank(1), Rank(2), Rank(3)});
  // Outer parameters and momentum beside Adam's states.
  CHECK(resident(program, Rank(0), MemoryClass::optimizer).value == (12 + 8) * psi);
  CHECK(play_run(run).timeline.end < play_run(zero_run(4, 0)).timeline.end);
}

TEST_CASE("islands sum their gradients in every step and average with one another",
          "[strategies]") {
  for (const std::int64_t zero : {0, 1, 2, 3}) {
    Run run = zero_run(8, zero);
    run.sharding.average_every = 10;
    run.sharding.island = 4;
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    const double psi = parameters_of(run);
    const double times = zero >= 2 ? kMicroBatches : 1;
    const CollectiveKind kind =
        zero == 0 ? CollectiveKind::all_reduce : CollectiveKind::reduce_scatter;
    CHECK(in_slot(program, kShardGroup, kind) == times * 4 * psi);
    CHECK_THAT(in_slot(program, kReplicaGroup, CollectiveKind::all_reduce),
               WithinRel(4 * psi / 10 / 4, 1e-12));
    CHECK(members(program, 5, kShardGroup) == std::vector{Rank(4), Rank(5), Rank(6), Rank(7)});
    CHECK(members(program, 5, kReplicaGroup) == std::vector{Rank(1), Rank(5)});
    CHECK(resident(program, Rank(0), MemoryClass::optimizer).value ==
          std::ceil(12 * psi / (zero == 0 ? 1 : 4)) + std::ceil(8 * psi / 4));
  }
}

TEST_CASE("a host that handles every rank's part of a tensor delays more ranks more",
          "[strategies]") {
  // Per micro-batch of d ranks: gathers of 34 + 33 tensors, each d parts.
  Run run = zero_run(4, 3, 1);
  run.sharding.gather_by_tensor = true;
  run.stack.exposed_gathers.value = 1;
  const double quick = play_run(run).timeline.end.value;
  run.stack.host_per_piece.value = 100_us;
  CHECK(play_run(run).timeline.end.value > quick + 67 * 4 * 100e-6);
  run.training.recompute = Recompute::full;
  const Volume twice = collectives(lower(run), Rank(0), "data", CollectiveKind::all_gather);
  run.stack.gathers_after_recompute = true;
  const Volume thrice = collectives(lower(run), Rank(0), "data", CollectiveKind::all_gather);
  CHECK(thrice.count == twice.count + 4 * 8);
  CHECK_NOTHROW(verify(lower(run)));
}

}  // namespace foretrain::testing
