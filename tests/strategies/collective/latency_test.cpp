// What steps cost and which rates transfers reach, from NCCL's tables and a platform's numbers.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/latency.hpp"

#include <cmath>

#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr double kRounding = 1e-12;
constexpr Manner kRing = {Pattern::ring, Protocol::simple};

Sourced<double> times(double multiplier) { return {multiplier, "a test", config::Basis::assumed}; }

/// Nodes of eight Ampere GPUs whose latencies are twice NCCL's inside and three times between.
Cluster tabled_cluster() {
  Cluster cluster = small_cluster(8, 4);
  cluster.node.hop_latency.reset();
  cluster.node.latency_multiplier = times(2);
  cluster.fabric.hop_latency.reset();
  cluster.fabric.latency_multiplier = times(3);
  return cluster;
}

double microseconds(const StepCount& steps, const Manner& manner, const Cluster& cluster,
                    const std::vector<std::size_t>& members) {
  const auto machine = build_machine(cluster, 4);
  const Placement placement = place({CollectiveKind::all_reduce, 1_MB, devices(members)}, *machine);
  return latency(steps, manner, placement, *machine).value * 1e6;
}

double share(Bytes payload, const Manner& manner, const Cluster& cluster,
             const std::vector<std::size_t>& members) {
  const auto machine = build_machine(cluster, 4);
  const Placement placement =
      place({CollectiveKind::all_reduce, payload, devices(members)}, *machine);
  return rate_share(payload, manner, placement.reach(), placement, *machine);
}

}  // namespace

TEST_CASE("steps cost the platform's multiple of what NCCL tables for a protocol", "[collective]") {
  const Cluster cluster = tabled_cluster();
  // Inside: 10 us + 2 * (base + 14 hops): LL 6.6 + 14 * 0.6, LL128 14 + 14 * 1.9, Simple 8.4 +
  // 14 * 3.4.
  CHECK_THAT(microseconds({14, 0}, {Pattern::ring, Protocol::ll}, cluster, {0, 1}),
             WithinRel(10 + 2 * 15.0, kRounding));
  CHECK_THAT(microseconds({14, 0}, {Pattern::ring, Protocol::ll128}, cluster, {0, 1}),
             WithinRel(10 + 2 * 40.6, kRounding));
  CHECK_THAT(microseconds({14, 0}, kRing, cluster, {0, 1}), WithinRel(10 + 2 * 56.0, kRounding));
  // Between: 20 us + 3 * (8.4 + 2 * 3.4 + 3 * 14).
  CHECK_THAT(microseconds({2, 3}, kRing, cluster, {0, 8}), WithinRel(20 + 3 * 57.2, kRounding));
  // A tree in LL: 20 us + 3 * (6.8 + 2 * 0.6 + 4 * 5).
  CHECK_THAT(microseconds({2, 4}, {Pattern::tree, Protocol::ll}, cluster, {0, 8}),
             WithinRel(20 + 3 * 28.0, kRounding));
}

TEST_CASE("a later level of a collective has no start of its own", "[collective]") {
  CHECK_THAT(microseconds({1, 0, false}, kRing, tabled_cluster(), {0, 1}),
             WithinRel(2 * 3.4, kRounding));
}

TEST_CASE("nodes without a time for a hop of theirs take NCCL's beside a fabric that has one",
          "[collective]") {
  Cluster cluster = tabled_cluster();
  cluster.fabric.latency_multiplier.reset();
  cluster.fabric.hop_latency = {5_us, "a test", config::Basis::assumed};
  // 20 us + 2 hops of 2 * 3.4 us + 3 of 5 us.
  CHECK_THAT(microseconds({2, 3}, kRing, cluster, {0, 8}), WithinRel(20 + 13.6 + 15, kRounding));
}

TEST_CASE("protocols reach the shares of the rate that NCCL reckons with", "[collective]") {
  Cluster cluster = tabled_cluster();
  CHECK(share(1_GB, kRing, cluster, {0, 1}) == 1);
  CHECK(share(1_GB, {Pattern::ring, Protocol::ll128}, cluster, {0, 1}) == 0.92);
  // LL: half of 100 GB/s, less than Ampere's 87.7 GB/s; of 300 GB/s 87.7.
  CHECK(share(1_GB, {Pattern::ring, Protocol::ll}, cluster, {0, 1}) == 0.5);
  cluster.node.rate.value = 300_GBps;
  CHECK_THAT(share(1_GB, {Pattern::ring, Protocol::ll}, cluster, {0, 1}),
             WithinRel(87.7 / 300, kRounding));
  // Between: four NICs of 10 GB/s; 39 GB/s of two nodes, 20.4 of more.
  CHECK(share(1_GB, {Pattern::ring, Protocol::ll}, cluster, {0, 8}) == 0.5);
  cluster.fabric.rate.value = 20_GBps;
  CHECK_THAT(share(1_GB, {Pattern::ring, Protocol::ll}, cluster, {0, 8}),
             WithinRel(39.0 / 80, kRounding));
  CHECK_THAT(share(1_GB, {Pattern::ring, Protocol::ll}, cluster, {0, 8, 16}),
             WithinRel(20.4 / 80, kRounding));
}

TEST_CASE("a pipeline reaches half of its rate at the platform's payload for every step",
          "[collective]") {
  Cluster cluster = tabled_cluster();
  cluster.node.half_rate_payload = {1_MB, "a test", config::Basis::assumed};
  cluster.fabric.half_rate_payload = {4_MB, "a test", config::Basis::assumed};
  CHECK(share(1_MB, kRing, cluster, {0, 1}) == 0.5);
  CHECK_THAT(share(9_MB, kRing, cluster, {0, 1}), WithinRel(0.75, kRounding));
  CHECK(share(0_B, kRing, cluster, {0, 1}) == 1);
  // A tree of two nodes has one level; of four two, at 0.92 of the rate.
  const Manner tree = {Pattern::tree, Protocol::simple};
  CHECK(share(4_MB, tree, cluster, {0, 8}) == 0.5);
  CHECK_THAT(share(8_MB, tree, cluster, {0, 8, 16, 24}), WithinRel(0.92 * 0.5, kRounding));
  CHECK(share(1_KiB, kRing, cluster, {0, 8}) == 1);
  // An all-to-all fills 0.085 steps per node.
  CHECK_THAT(share(4_MB, {Pattern::messages, Protocol::simple}, cluster, {0, 8}),
             WithinRel(1 / (1 + std::sqrt(0.17)), kRounding));
}

TEST_CASE("a pipeline over chunks of the best size costs what the share says", "[collective]") {
  // S = 9 MB through d = 4 steps of a = 1 us at B = 10 GB/s. With chunks of c bytes the last byte
  // arrives after (S/c + d) (a + c/B); the least over c, less the latency d a, is
  // S/B + 2 sqrt(d a S/B) = 900 + 2 * 60 us.
  const double payload = 9e6;
  const double rate = 10e9;
  double least = 1;
  for (int i = 1; i < 100000; ++i) {
    const double chunks = i * 0.1;
    least = std::min(least, (chunks + 4) * (1e-6 + payload / chunks / rate));
  }
  CHECK_THAT(least - 4e-6, WithinRel(1020e-6, 1e-3));
  Cluster cluster = tabled_cluster();
  // h = 4 d a B of all four steps: 160 kB.
  cluster.node.half_rate_payload = {Bytes(4 * 4 * 1e-6 * rate), "a test", config::Basis::assumed};
  CHECK_THAT(payload / rate / share(Bytes(payload), kRing, cluster, {0, 1}),
             WithinRel(1020e-6, kRounding));
}

}  // namespace foretrain::testing
