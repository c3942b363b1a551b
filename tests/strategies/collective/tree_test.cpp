// Trees by hand, the choice between ring and tree, and both against measured collectives.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "sim/config/catalogue.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr double kTolerance = 1e-9;

double time_with(const Machine& machine, const std::vector<std::size_t>& members, Bytes payload,
                 CollectiveFunction algorithm, CollectiveKind kind = CollectiveKind::all_reduce) {
  return time_of({kind, payload, devices(members)}, machine, algorithm);
}

std::vector<std::size_t> first(std::size_t count) {
  std::vector<std::size_t> members(count);
  std::iota(members.begin(), members.end(), std::size_t{0});
  return members;
}

struct Measurement {
  CollectiveKind kind;
  Bytes payload;
  std::size_t gpus;
  Seconds time;
};

void check_against(const std::string& platform, const std::vector<Measurement>& measured,
                   double tolerance) {
  config::Sources sources;
  const std::string platforms = std::string(FORETRAIN_SOURCE_DIR) + "/platforms";
  const Cluster cluster = load_cluster(sources, platform, platforms);
  for (const Measurement& each : measured) {
    INFO(platform << ", " << each.gpus << " GPUs, " << config::show(each.payload));
    const auto machine = build_machine(cluster, each.gpus / 8);
    const double time = time_with(*machine, first(each.gpus), each.payload, quickest, each.kind);
    CHECK_THAT(time / each.time.value, WithinRel(1.0, tolerance));
  }
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

TEST_CASE("a tree sends the payload twice out of every node, at 0.45 of the rate of a ring",
          "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  // One NIC: 2 * 9 MB at 4.5 GB/s is 4 ms. Two NICs share it.
  CHECK_THAT(time_with(*machine, {0, 8}, 9_MB, tree), WithinRel(4030e-6, kTolerance));
  CHECK_THAT(time_with(*machine, {0, 2, 8, 10}, 9_MB, tree), WithinRel(2032e-6, kTolerance));
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
    CHECK((by_tree < by_ring) == (payload < 4_MiB));
  }
}

TEST_CASE("collectives of p5 nodes over EFA take the measured times within a fifth",
          "[collective]") {
  // crazyguitar/aws-gpu-communication-benchmark, p5.48xlarge. Times follow from bus bandwidths.
  constexpr CollectiveKind kReduce = CollectiveKind::all_reduce;
  constexpr CollectiveKind kGather = CollectiveKind::all_gather;
  check_against("hopper-prod-h100",
                {{kReduce, 32_MiB, 32, Seconds(682e-6)},
                 {kReduce, 256_MiB, 64, Seconds(2277e-6)},
                 {kReduce, 32_MiB, 128, Seconds(890e-6)},
                 {kReduce, 32_MiB, 256, Seconds(1008e-6)},
                 {kReduce, 256_MiB, 256, Seconds(3875e-6)},
                 {kReduce, 8_GiB, 256, Seconds(53294e-6)},
                 {kGather, 64_MiB, 64, Seconds(761e-6)},
                 {kGather, 128_MiB, 256, Seconds(2929e-6)},
                 {kGather, 512_MiB, 128, Seconds(2422e-6)}},
                0.2);
}

}  // namespace foretrain::testing
