// Volumes, routes and times of rings, derived by hand; links 100 GB/s per GPU and 10 GB/s per NIC.
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <random>
#include <set>

#include "sim/core/error.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/hand_times.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

FlowSchedule ring_of(const Machine& machine, const std::vector<std::size_t>& members,
                     Bytes payload = 48_MB, CollectiveKind kind = CollectiveKind::all_reduce) {
  return ring({kind, payload, devices(members)}, machine);
}

Bytes volume(const FlowSchedule& schedule) {
  Bytes sum;
  for (const Flow& flow : schedule.phases.at(0).flows) {
    sum += flow.bytes;
  }
  return sum;
}

/// How often the rings use each link, by the link's name.
std::map<std::string, int> uses(const FlowSchedule& schedule, const Machine& machine) {
  std::map<std::string, int> count;
  for (const Flow& flow : schedule.phases.at(0).flows) {
    for (const LinkId link : flow.links) {
      ++count[machine.network().links[link.index()].name];
    }
  }
  return count;
}

bool is_nic(const std::string& link) { return link.find(" nic ") != std::string::npos; }

double all_reduce_time(const Machine& machine, const std::vector<std::size_t>& members,
                       Bytes payload) {
  return time_of({CollectiveKind::all_reduce, payload, devices(members)}, machine, ring);
}

}  // namespace

TEST_CASE("a ring all-reduce moves 2 (n-1)/n of the payload per rank, the others (n-1)/n",
          "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 3);
  for (const std::vector<std::size_t>& members :
       {std::vector<std::size_t>{0, 1}, {0, 1, 2, 3}, {0, 8, 16}, {0, 2, 8, 10, 16, 18}}) {
    const auto n = static_cast<double>(members.size());
    // 48 MB divide by 2, 3, 4 and 6, and by two rings: all numbers are whole.
    CHECK(volume(ring_of(*machine, members)) == 48_MB * (2 * (n - 1) / n));
    CHECK(volume(ring_of(*machine, members, 48_MB, CollectiveKind::all_gather)) ==
          48_MB * ((n - 1) / n));
    CHECK(volume(ring_of(*machine, members, 48_MB, CollectiveKind::reduce_scatter)) ==
          48_MB * ((n - 1) / n));
  }
}

TEST_CASE("a group of one communicates nothing and an empty one is our fault", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 1);
  CHECK(ring_of(*machine, {3}).phases.empty());
  CHECK_THROWS_AS(ring_of(*machine, {}), InternalError);
}

TEST_CASE("every ring goes through every member once and leaves and enters every node once",
          "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  const FlowSchedule schedule = ring_of(*machine, {0, 1, 2, 3, 8, 9, 10, 11});
  // Local GPUs 0 to 3 reach NICs 0 and 1: two rings. Each has 8 hops of 2 links, 2 of them by NIC.
  REQUIRE(schedule.phases.at(0).flows.size() == 2);
  for (const Flow& flow : schedule.phases[0].flows) {
    CHECK(flow.links.size() == 16);
    CHECK(std::count_if(flow.links.begin(), flow.links.end(), [&](LinkId link) {
            return is_nic(machine->network().links[link.index()].name);
          }) == 4);
  }
}

TEST_CASE("the rings of one group leave and enter a node through different NICs", "[collective]") {
  // Any group, also with members bunched behind one NIC: no NIC carries two rings of a group one
  // way.
  std::mt19937 random(7);
  for (int i = 0; i < 500; ++i) {
    const std::int64_t nics = std::int64_t{1} << (random() % 4);
    const auto machine = build_machine(small_cluster(8, nics), 3);
    std::vector<std::size_t> members;
    for (std::size_t device = 0; device < 24; ++device) {
      if (random() % 2 == 0) {
        members.push_back(device);
      }
    }
    std::string text = std::to_string(nics) + " NICs, members";
    for (const std::size_t member : members) {
      text += " " + std::to_string(member);
    }
    if (members.size() > 1) {
      for (const auto& [link, count] : uses(ring_of(*machine, members), *machine)) {
        INFO(text << ": " << link);
        CHECK((!is_nic(link) || count == 1));
      }
    }
  }
}

TEST_CASE("as many rings run as the node with the fewest NICs in the group allows",
          "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 3);
  const auto rings = [&](const std::vector<std::size_t>& members) {
    return ring_of(*machine, members).phases.at(0).flows.size();
  };
  CHECK(rings({0, 1, 2, 3, 4, 5, 6, 7}) == 1);  // NVLink alone
  CHECK(rings({0, 8}) == 1);
  CHECK(rings({0, 1, 8, 9}) == 1);  // two GPUs behind one NIC
  CHECK(rings({0, 2, 8, 10}) == 2);
  CHECK(rings({0, 2, 4, 6, 8, 9}) == 1);  // four NICs here, one there
  CHECK(rings({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) == 4);
}

TEST_CASE("times of single rings are latency plus bytes over the slowest link", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 3);
  // Inside a node, n = 4: 10 us + 6 steps of 1 us + 2 * 3/4 * 4 MB / 100 GB/s = 60 us.
  CHECK_THAT(all_reduce_time(*machine, {0, 1, 2, 3}, 4_MB), WithinRel(76e-6, kTolerance));
  // One member per node, n = 3: 20 us + 4 steps of 5 us + 2 * 2/3 * 3 MB / 10 GB/s = 400 us.
  CHECK_THAT(all_reduce_time(*machine, {0, 8, 16}, 3_MB), WithinRel(440e-6, kTolerance));
  // Four per node on two nodes, n = 8, two rings: 14 steps, 2 of them between nodes, so 20 us +
  // 12 * 1 us + 2 * 5 us; half of 2 * 7/8 * 8 MB = 7 MB at 10 GB/s is 700 us.
  CHECK_THAT(all_reduce_time(*machine, {0, 1, 2, 3, 8, 9, 10, 11}, 8_MB),
             WithinRel(742e-6, kTolerance));
  // Uneven, n = 4, one ring: 6 steps, 2 between nodes: 20 + 4 + 10 us; 6 MB at 10 GB/s is 600 us.
  CHECK_THAT(all_reduce_time(*machine, {0, 1, 2, 8}, 4_MB), WithinRel(634e-6, kTolerance));
}

TEST_CASE("a fabric may have steps inside nodes cost its groups more", "[collective]") {
  Cluster cluster = small_cluster(8, 4);
  cluster.fabric.node_hop_latency = {3_us, "a test", config::Basis::assumed};
  const auto machine = build_machine(cluster, 3);
  // As above with 12 steps of 3 us instead of 1 us; inside a node 1 us stays.
  CHECK_THAT(all_reduce_time(*machine, {0, 1, 2, 3, 8, 9, 10, 11}, 8_MB),
             WithinRel(766e-6, kTolerance));
  CHECK_THAT(all_reduce_time(*machine, {0, 1, 2, 3}, 4_MB), WithinRel(76e-6, kTolerance));
}

TEST_CASE("an all-gather takes half the steps and half the bytes of an all-reduce",
          "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 3);
  // n = 3 on three nodes: 20 us + 2 * 5 us + 2/3 * 3 MB / 10 GB/s = 200 us.
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    CHECK_THAT(time_of({kind, 3_MB, devices({0, 8, 16})}, *machine, ring),
               WithinRel(230e-6, kTolerance));
  }
}

TEST_CASE("a mid-size payload reaches its share of the rate", "[collective]") {
  Cluster cluster = small_cluster(8, 4);
  cluster.node.half_rate_payload = {1_MB, "a test", config::Basis::assumed};
  const auto machine = build_machine(cluster, 3);
  // At 1 MB half the rate: 10 + 2 * 1 us + 1 MB / 50 GB/s; at 4 MB 1 / (1 + sqrt(1/4)) = 2/3 of it:
  // 12 us + 4 MB / 66.7 GB/s. A ring between nodes has no pipeline to fill.
  CHECK_THAT(all_reduce_time(*machine, {0, 1}, 1_MB), WithinRel(32e-6, kTolerance));
  CHECK_THAT(all_reduce_time(*machine, {0, 1}, 4_MB), WithinRel(72e-6, kTolerance));
  CHECK_THAT(all_reduce_time(*machine, {0, 8}, 1_MB), WithinRel(130e-6, kTolerance));
}

TEST_CASE("two groups that share a NIC get half of it each", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  const auto pair = [](std::size_t local, Bytes payload) {
    return CollectiveRequest{CollectiveKind::all_reduce, payload, devices({local, local + 8})};
  };
  // Two members: 2 * 1/2 of the payload goes each way; latency 20 us + 2 * 5 us.
  const double latency = 30e-6;
  SECTION("alone: 1 MB at 10 GB/s") {
    const auto ends = end_times({pair(0, 1_MB)}, *machine, ring);
    CHECK_THAT(ends[0], WithinRel(latency + 100e-6, kTolerance));
  }
  SECTION("GPUs 0 and 1 share NIC 0: 1 MB at 5 GB/s") {
    const auto ends = end_times({pair(0, 1_MB), pair(1, 1_MB)}, *machine, ring);
    CHECK_THAT(ends[0], WithinRel(latency + 200e-6, kTolerance));
    CHECK_THAT(ends[1], WithinRel(latency + 200e-6, kTolerance));
  }
  SECTION("the longer one has the NIC to itself in the end") {
    // 1 MB each at 5 GB/s by 200 us; the other 2 MB at 10 GB/s.
    const auto ends = end_times({pair(0, 1_MB), pair(1, 3_MB)}, *machine, ring);
    CHECK_THAT(ends[0], WithinRel(latency + 200e-6, kTolerance));
    CHECK_THAT(ends[1], WithinRel(latency + 400e-6, kTolerance));
  }
  SECTION("GPUs 0 and 2 have NICs of their own") {
    const auto ends = end_times({pair(0, 1_MB), pair(2, 1_MB)}, *machine, ring);
    CHECK_THAT(ends[0], WithinRel(latency + 100e-6, kTolerance));
    CHECK_THAT(ends[1], WithinRel(latency + 100e-6, kTolerance));
  }
}

TEST_CASE("groups inside a node do not meet: the switch is never full", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 1);
  const auto ends = end_times({{CollectiveKind::all_reduce, 4_MB, devices({0, 1, 2, 3})},
                               {CollectiveKind::all_reduce, 4_MB, devices({4, 5, 6, 7})}},
                              *machine, ring);
  CHECK_THAT(ends[0], WithinRel(76e-6, kTolerance));
  CHECK_THAT(ends[1], WithinRel(76e-6, kTolerance));
}

}  // namespace foretrain::testing
