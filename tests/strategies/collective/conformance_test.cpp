// Laws that every row of the table of collectives keeps, on groups of every kind.
// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "sim/config/catalogue.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

/// A group on three nodes of eight GPUs.
struct GroupCase {
  const char* name;
  std::int64_t nics_per_node;
  std::vector<std::size_t> members;
};

const std::vector<GroupCase>& group_cases() {
  static const std::vector<GroupCase> cases = {
      {"a pair inside a node", 4, {0, 1}},
      {"a whole node", 4, {0, 1, 2, 3, 4, 5, 6, 7}},
      {"half of the second node", 4, {12, 13, 14, 15}},
      {"one member on each of two nodes", 4, {0, 8}},
      {"one member on each of three nodes, behind different NICs", 4, {1, 10, 20}},
      {"two members per node behind one NIC", 4, {0, 1, 8, 9}},
      {"two members per node behind two NICs", 4, {0, 4, 8, 12, 16, 20}},
      {"whole nodes", 4, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
      {"whole nodes with one NIC", 1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
      {"a NIC for each GPU", 8, {0, 1, 2, 3, 8, 9, 10, 11}},
      {"three members here and one there", 4, {0, 1, 2, 8}},
      {"one here and five there", 4, {0, 8, 9, 10, 11, 12}},
      {"members bunched behind the first NIC", 4, {0, 1, 2, 4, 8, 9, 10, 12}},
  };
  return cases;
}

std::set<std::size_t> nodes_of(const GroupCase& group) {
  std::set<std::size_t> nodes;
  for (const std::size_t member : group.members) {
    nodes.insert(member / 8);
  }
  return nodes;
}

/// Calls `check(algorithm, group, kind, cluster)` for all of them.
template <class Check>
void for_every_case(Check check) {
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    for (const GroupCase& group : group_cases()) {
      const Cluster cluster = switching_cluster(8, group.nics_per_node);
      const auto machine = build_machine(cluster, 3);
      for (const CollectiveKind kind : kCollectiveKinds) {
        if (!why_not(algorithm, {kind, 1_MB, devices(group.members)}, *machine)) {
          INFO(algorithm.name << ", " << group.name << ", " << name_of(kind));
          check(algorithm, group, kind, cluster);
        }
      }
    }
  }
}

/// Bytes that a rank sends or takes, at least, on average. A switch that adds up and hands out
/// leaves a rank its own part to send or to take; a root sends, or the others send, the payload
/// once.
Bytes least_bytes(const CollectiveAlgorithm& algorithm, CollectiveKind kind, Bytes payload,
                  std::size_t n) {
  const bool is_rooted = kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce;
  if (is_rooted || algorithm.name.starts_with("nvls")) {
    return ring_bytes(CollectiveKind::all_gather, payload, n);
  }
  return ring_bytes(kind, payload, n);
}

double time_on(const Cluster& cluster, const CollectiveRequest& request,
               CollectiveFunction algorithm) {
  return time_of(request, *build_machine(cluster, 3), algorithm);
}

}  // namespace

TEST_CASE("a collective moves at least what its ranks must send", "[collective]") {
  for_every_case([](const CollectiveAlgorithm& algorithm, const GroupCase& group,
                    CollectiveKind kind, const Cluster& cluster) {
    const auto machine = build_machine(cluster, 3);
    const FlowSchedule schedule = algorithm.lower({kind, 48_MB, devices(group.members)}, *machine);
    Bytes crossed;  // summed over links: two for each hop from a GPU to a GPU
    for (const FlowPhase& phase : schedule.phases) {
      for (const Flow& flow : phase.flows) {
        crossed += flow.bytes * static_cast<double>(flow.links.size());
      }
    }
    const std::size_t n = group.members.size();
    const Bytes least = least_bytes(algorithm, kind, 48_MB, n) * static_cast<double>(n);
    const double hops = algorithm.name == "nvls" && kind != CollectiveKind::all_reduce ? 1 : 2;
    CHECK(crossed.value / hops >= least.value * (1 - 1e-12));
  });
}

TEST_CASE("a collective takes at least the time of its bytes and one latency", "[collective]") {
  for_every_case([](const CollectiveAlgorithm& algorithm, const GroupCase& group,
                    CollectiveKind kind, const Cluster& cluster) {
    const Bytes payload = 48_MB;
    const double time = time_on(cluster, {kind, payload, devices(group.members)}, algorithm.lower);
    const BytesPerSecond port = cluster.node.rate.value;
    const BytesPerSecond nic = cluster.fabric.rate.value;
    // A rank sends through its port and its NIC at once, at best.
    const Bytes least = least_bytes(algorithm, kind, payload, group.members.size());
    CHECK(time >= (least / (port + nic)).value);
    const double nodes = static_cast<double>(nodes_of(group).size());
    if (nodes > 1) {
      // Seen from the fabric a node is a rank whose rate is that of all its NICs.
      const BytesPerSecond node_rate = nic * static_cast<double>(cluster.nics_per_node);
      CHECK(time >= (ring_bytes(kind, payload, nodes_of(group).size()) / node_rate).value);
      CHECK(time >=
            (cluster.fabric.collective_latency.value + cluster.fabric.hop_latency->value).value);
    } else {
      CHECK(time >=
            (cluster.node.collective_latency.value + cluster.node.hop_latency->value).value);
    }
  });
}

TEST_CASE("a larger payload never takes less time", "[collective]") {
  for_every_case([](const CollectiveAlgorithm& algorithm, const GroupCase& group,
                    CollectiveKind kind, const Cluster& cluster) {
    double before = 0;
    for (Bytes payload = 1_KiB; payload <= 1_GiB; payload *= 32) {
      const double time =
          time_on(cluster, {kind, payload, devices(group.members)}, algorithm.lower);
      CHECK(time >= before);
      before = time;
    }
  });
}

TEST_CASE("a faster link never makes a collective slower", "[collective]") {
  for_every_case([](const CollectiveAlgorithm& algorithm, const GroupCase& group,
                    CollectiveKind kind, const Cluster& cluster) {
    const CollectiveRequest request{kind, 48_MB, devices(group.members)};
    const double time = time_on(cluster, request, algorithm.lower);
    Cluster faster_inside = cluster;
    faster_inside.node.rate.value *= 1.5;
    CHECK(time_on(faster_inside, request, algorithm.lower) <= time * (1 + 1e-9));
    Cluster faster_between = cluster;
    faster_between.fabric.rate.value *= 1.5;
    CHECK(time_on(faster_between, request, algorithm.lower) <= time * (1 + 1e-9));
  });
}

TEST_CASE("on the platforms of the catalogue a larger payload never takes less time",
          "[collective]") {
  const std::string platforms = std::string(FORETRAIN_SOURCE_DIR) + "/platforms";
  for (const std::string& name : config::names_in(platforms + "/clusters")) {
    config::Sources sources;
    const Cluster cluster = load_cluster(sources, name, platforms);
    const auto unit = static_cast<std::size_t>(cluster.node_unit());
    std::size_t nodes = 2 * unit;
    while (nodes * static_cast<std::size_t>(cluster.gpus_per_node) < 12) {
      nodes += unit;
    }
    const auto machine = build_machine(cluster, nodes);
    const std::vector<std::size_t> inside = {0, 1, 2, 3, 4, 5, 6, 7};
    const std::vector<std::size_t> across = {0, 1, 2, 3, 8, 9, 10, 11};
    for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
      for (const auto& members : {inside, across}) {
        INFO(name << ", " << algorithm.name << ", " << members.size() << " members");
        if (why_not(algorithm, {CollectiveKind::all_reduce, 1_MB, devices(members)}, *machine)) {
          continue;
        }
        double before = 0;
        for (Bytes payload = 1_KiB; payload <= 16_GiB; payload *= 4) {
          const double time = time_of({CollectiveKind::all_reduce, payload, devices(members)},
                                      *machine, algorithm.lower);
          CHECK(time >= before);
          before = time;
        }
      }
    }
  }
}

TEST_CASE("collectives have names of their own and a sentence", "[collective]") {
  std::set<std::string_view> names;
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    CHECK(names.insert(algorithm.name).second);
    CHECK_FALSE(algorithm.sentence.empty());
  }
}

}  // namespace foretrain::testing
