// ZeRO-Offload (Ren et al. 2021): what goes to the host and comes back, what stays where, and what
// a step waits for. P = parameters of a rank, d = ranks that share them, m = 4 micro-batches.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/offload.hpp"

#include <cmath>

#include "sim/report/breakdown.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

Run offload_run(std::int64_t data, std::int64_t zero) {
  Run run = small_run(1, 1, data);
  run.model.tied_embeddings = false;
  run.parallel.zero = zero;
  run.offload.optimizer = true;
  run.cluster.host = Host{assumed(Bytes(1e12)),
                          assumed(100_GBps),
                          assumed(50_GBps),
                          assumed(20_GBps),
                          std::nullopt,
                          1,
                          1};
  return run;
}

}  // namespace

TEST_CASE("two bytes of every parameter go to the host, and two come back", "[strategies]") {
  for (const std::int64_t data : {1, 4}) {
    for (const std::int64_t zero : {1, 2}) {
      const Run run = offload_run(data, zero);
      const Program program = lower(run);
      CHECK_NOTHROW(verify(program));
      const double share = parameters_of(run) / static_cast<double>(data);
      const double times = zero == 2 ? kMicroBatches : 1;  // ZeRO-2 adds up on the host
      CHECK_THAT(copied(program, CopyDirection::to_host), WithinRel(times * 2 * share, 1e-4));
      CHECK_THAT(copied(program, CopyDirection::to_device), WithinRel(2 * share, 1e-4));
      CHECK_THAT(copied(program, CopyDirection::inside_host), WithinRel(38 * share, 1e-4));
    }
  }
}

TEST_CASE("a GPU keeps 2 psi and a bucket or two, its host 14 psi / d", "[strategies]") {
  for (const std::int64_t data : {1, 4}) {
    Run run = offload_run(data, 2);
    run.stack.accumulation = Accumulation::separate_16_bit;
    run.stack.bucket.value = Bytes(100e3);
    const Program program = lower(run);
    const double psi = parameters_of(run);
    CHECK(resident(program, Rank(0), MemoryClass::parameters).value == 2 * psi);
    CHECK(resident(program, Rank(0), MemoryClass::gradients) == Bytes(200e3));
    CHECK(resident(program, Rank(0), MemoryClass::optimizer) == Bytes(0));
    CHECK(program.body_of(Rank(0)).host_bytes.value ==
          std::ceil(14 * psi / static_cast<double>(data)));
  }
}

TEST_CASE("offloaded parameters come from the host before every gather", "[strategies]") {
  for (const std::int64_t data : {1, 4}) {
    Run run = offload_run(data, 3);
    run.offload.parameters = true;
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    const double psi = parameters_of(run);
    const auto embedding = static_cast<double>(stage_shape(run, 0).embedding.parameters);
    const auto ranks = static_cast<double>(data);
    CHECK_THAT(copied(program, CopyDirection::to_device),
               WithinRel(kMicroBatches * 2 * (2 * psi - embedding) / ranks, 1e-4));
    CHECK(resident(program, Rank(0), MemoryClass::parameters) == Bytes(0));
    CHECK(program.body_of(Rank(0)).host_bytes.value == std::ceil(16 * psi / ranks));
    CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_gather).count ==
          (data == 1 ? 0 : 4 * 19));
  }
}

TEST_CASE("the host's update is as long as its traffic, and the last copy follows it",
          "[strategies]") {
  // One GPU: 38 B at 50 GB/s for each parameter, in one tile, and 2 B at 20 GB/s after it.
  Run run = offload_run(1, 2);
  const Played played = play_run(run);
  const Breakdown parts = breakdown(played.program, played.timeline, Rank(0));
  const double psi = parameters_of(run);
  run.cluster.host->optimizer_rate = assumed(BytesPerSecond(25e9));
  const double slower = play_run(run).timeline.end.value - played.timeline.end.value;
  CHECK_THAT(slower, WithinRel(psi * 38 / 50e9, 1e-3));
  CHECK(parts.exposed.at("host").seconds().value >= 2 * psi / 20e9 * 0.99);
  CHECK(parts.total() == parts.step);
  SECTION("a delayed update hides behind the next step") {
    run.offload.delayed_update = true;
    CHECK_NOTHROW(verify(lower(run)));
    CHECK(play_run(run).timeline.end.value < played.timeline.end.value);
  }
}

TEST_CASE("GPUs of a node share the memory and the processors of their host", "[strategies]") {
  Run one = offload_run(1, 2);
  Run four = offload_run(4, 2);
  for (Run* run : {&one, &four}) {
    run->cluster.node.rate.value = BytesPerSecond(1e15);
    run->cluster.node.collective_latency.value = Seconds(0);
    run->cluster.node.hop_latency->value = Seconds(0);
    run->cluster.host->link_rate->value = BytesPerSecond(1e15);
  }
  // A quarter of the update each, at a quarter of the rate.
  CHECK_THAT(play_run(four).timeline.end.value, WithinRel(play_run(one).timeline.end.value, 0.02));
}

TEST_CASE("lumped and full runs agree where hosts are copied to", "[lump]") {
  for (const std::int64_t zero : {1, 2, 3}) {
    for (const std::int64_t data : {2, 8}) {
      Run run = offload_run(data, zero);
      run.offload.parameters = zero == 3;
      run.cluster.host->uplink_rate = assumed(25_GBps);
      run.cluster.host->gpus_per_uplink = 2;
      const auto machine = build_machine(run);
      const Both both = play_both(lower(run), PlatformCosts(*machine));
      CHECK(largest_difference(both) < 1e-9);
      CHECK(both.num_simulated() < static_cast<std::size_t>(data));
    }
  }
}

TEST_CASE("offloading and sharding keys that cannot take effect are refused with a reason",
          "[strategies]") {
  const auto error = [](const std::string& text) {
    return mistakes_in(std::string(kRunFile) + text);
  };
  CHECK(has(error("[offload]\noptimizer = true\n"), "needs zero 1 or more"));
  CHECK(has(error("zero = 1\n[offload]\noptimizer = true\nparameters = true\n"), "needs zero 3"));
  CHECK(has(error("zero = 3\n[offload]\nparameters = true\n"), "needs optimizer = true"));
  CHECK(has(error("zero = 1\n[offload]\ncpu_offload = true\n"), "optimizer"));
  CHECK(has(error("[sharding]\nunits_in_flight = 3\n"), "only zero 3 shards parameters"));
  CHECK(has(error("[sharding]\ngather_bucket = \"1 GB\"\n"), "only zero 1 and 2"));
  CHECK(has(error("[sharding]\nisland = 2\n"), "without average_every"));
  CHECK(has(error("[sharding]\naverage_every = 8\nisland = 5\n"),
            "island 5 is no part of the 12 replicas"));
  CHECK(
      has(error("zero = 3\n[sharding]\nsecondary_shard = 4\n"), "reshard_after_forward is false"));
  CHECK(has(error("[sharding]\nreduce_every_micro_batch = true\n"), "pipeline 4"));
  CHECK(has(error("zero = 3\n[sharding]\nprefetch_bucket = \"1 GB\"\nunits_in_flight = 2\n"),
            "only one can say"));
  CHECK(has(error("zero = 3\n[sharding]\ngradient_bucket = \"0 GB\"\n"), "greater than zero"));
  CHECK(error("zero = 1\n[sharding]\ngradient_bucket = \"25 MiB\"\nfirst_bucket = \"1 "
              "MiB\"\n[offload]\noptimizer = true\n")
            .empty());
}

TEST_CASE("a platform whose hosts nobody described refuses to offload, and says what it needs",
          "[strategies]") {
  const std::string text =
      spoilt(kRunFile, "platform = \"dgx-a100-40gb\"", "platform = \"mosaicml-a100-40gb\"") +
      "zero = 1\n[offload]\noptimizer = true\n";
  CHECK(has(mistakes_in(text), "needs a table [host] with memory, memory_rate and link_rate"));
}

}  // namespace foretrain::testing
