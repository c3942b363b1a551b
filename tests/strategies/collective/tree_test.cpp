// Trees by hand, and the choice between ring and tree.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/hand_times.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

double time_with(const Machine& machine, const std::vector<std::size_t>& members, Bytes payload,
                 CollectiveFunction algorithm, CollectiveKind kind = CollectiveKind::all_reduce) {
  return time_of({kind, payload, devices(members)}, machine, algorithm);
}

}  // namespace

TEST_CASE("a tree waits for the logarithm of the nodes and the chain inside them", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 9);
  // The payload is too small to matter: 1 B at some GB/s is less than 1e-6 of the latency.
  const auto latency = [&](const std::vector<std::size_t>& members) {
    return time_with(*machine, members, 1_B, tree);
  };
  // One member on each of 2, 4, 7 and 8 nodes: 20 us + 2 floor(log2 N) * 5 us.
  CHECK_THAT(latency({0, 8}), WithinRel(30e-6, 1e-4));
  CHECK_THAT(latency({0, 8, 16, 24}), WithinRel(40e-6, 1e-4));
  CHECK_THAT(latency({0, 8, 16, 24, 32, 40, 48}), WithinRel(40e-6, 1e-4));
  CHECK_THAT(latency({0, 8, 16, 24, 32, 40, 48, 56}), WithinRel(50e-6, 1e-4));
  // Three members on one node: 2 * 2 * 1 us more.
  CHECK_THAT(latency({0, 1, 2, 8}), WithinRel(34e-6, 1e-4));
}

TEST_CASE("a tree of two nodes sends the payload once each way, of more nodes twice",
          "[collective]") {
  Cluster cluster = small_cluster(8, 4);
  cluster.gpu.generation = GpuGeneration::hopper;
  const auto machine = build_machine(cluster, 3);
  // One NIC each: 20 us + 2 * 5 us, and 9 MB at 10 GB/s. Two NICs share it; 2 hops of 1 us inside.
  CHECK_THAT(time_with(*machine, {0, 8}, 9_MB, tree), WithinRel(930e-6, kTolerance));
  CHECK_THAT(time_with(*machine, {0, 2, 8, 10}, 9_MB, tree), WithinRel(482e-6, kTolerance));
  // Three nodes: the busiest NIC sends 2 * 9 MB, at 0.92 of 10 GB/s.
  CHECK_THAT(time_with(*machine, {0, 8, 16}, 9_MB, tree),
             WithinRel(30e-6 + 18e6 / 9.2e9, kTolerance));
  // Before Hopper NCCL's trees of two nodes are half as wide.
  const auto older = build_machine(small_cluster(8, 4), 2);
  CHECK_THAT(time_with(*older, {0, 8}, 9_MB, tree), WithinRel(1830e-6, kTolerance));
}

TEST_CASE("a tree's chain carries the payload twice through the ports of a node", "[collective]") {
  Cluster cluster = small_cluster(8, 4);
  cluster.fabric.rate.value = 1000_GBps;
  const auto machine = build_machine(cluster, 2);
  // 8 GPUs on each of two nodes: 20 us + 14 * 1 us + 2 * 5 us, 2 * 50 MB at 100 GB/s.
  CHECK_THAT(time_with(*machine, first(16), 50_MB, tree), WithinRel(1044e-6, kTolerance));
}

TEST_CASE("gathers, scatters and groups inside a node have no tree", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  const CollectiveAlgorithm& trees = collective_algorithm("tree");
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    CHECK(why_not(trees, {kind, 1_MB, devices({0, 8})}, *machine) ==
          "it carries out all_reduce only");
  }
  CHECK(why_not(trees, {CollectiveKind::all_reduce, 1_MB, devices({0, 1, 2})}, *machine) ==
        "the group is within one node");
  CHECK_FALSE(why_not(trees, {CollectiveKind::all_reduce, 1_MB, devices({3})}, *machine));
}

TEST_CASE("small all-reduces of many nodes take the tree, large ones the ring", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 8);
  const std::vector<std::size_t> all = first(64);
  for (Bytes payload = 1_KiB; payload <= 4_GiB; payload *= 8) {
    const double by_ring = time_with(*machine, all, payload, ring);
    const double by_tree = time_with(*machine, all, payload, tree);
    CHECK_THAT(time_with(*machine, all, payload, quickest),
               WithinRel(std::min(by_ring, by_tree), kTolerance));
    CHECK((by_tree < by_ring) == (payload < 32_MiB));
  }
}

}  // namespace foretrain::testing
