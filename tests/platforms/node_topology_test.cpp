// SPDX-License-Identifier: Apache-2.0
// Node topologies: laws of every row of the table, and what is known of the real machines.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "platforms/topology/topology.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/platforms/routes.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;
using Names = std::vector<std::string>;

std::unique_ptr<Machine> machine_of(const std::string& cluster) {
  config::Sources sources;
  return build_machine(load_cluster(sources, cluster, kPlatforms), 2);
}

std::vector<RingOrder> rings(const Machine& machine, const std::vector<std::size_t>& gpus) {
  std::vector<DeviceId> members;
  members.reserve(gpus.size());
  for (const std::size_t gpu : gpus) {
    members.push_back(DeviceId(gpu));
  }
  return machine.rings(members);
}

// Every ring goes through all members once; together they take no more than each link has.
void check_rings(const Machine& machine, const std::vector<std::size_t>& gpus) {
  double shares = 0;
  std::map<LinkId, BytesPerSecond> load;
  for (const RingOrder& ring : rings(machine, gpus)) {
    std::vector<std::size_t> sorted = ring.gpus;
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == gpus);
    CHECK(ring.share > 0);
    shares += ring.share;
    for (std::size_t i = 0; gpus.size() > 1 && i < ring.gpus.size(); ++i) {
      std::vector<LinkId> links;
      machine.append_route(DeviceId(ring.gpus[i]), DeviceId(ring.gpus[(i + 1) % ring.gpus.size()]),
                           links);
      for (const LinkId link : links) {
        load[link] += ring.rate;
      }
    }
  }
  CHECK_THAT(shares, WithinRel(1.0, 1e-9));
  for (const auto& [link, rate] : load) {
    INFO(machine.network().links[link.index()].name);
    CHECK(rate <= machine.network().links[link.index()].capacity * (1 + 1e-5));
  }
}

TEST_CASE("every node topology joins all GPUs and NICs, both ways alike", "[platforms]") {
  for (const NodeTopologyRow& row : node_topologies()) {
    INFO(row.name);
    const auto machine = machine_with(std::string(row.name));
    std::set<std::string> names;
    for (const Link& link : machine->network().links) {
      INFO(link.name);
      CHECK(names.insert(link.name).second);
      CHECK(link.capacity > BytesPerSecond(0));
    }
    std::set<std::size_t> nics;
    for (std::size_t from = 0; from < machine->num_devices(); ++from) {
      nics.insert(machine->nic_of(DeviceId(from)));
      for (std::size_t to = 0; to < machine->num_devices(); ++to) {
        if (from != to) {
          const Names there = route_names(*machine, from, to);
          CHECK_FALSE(there.empty());
          CHECK(std::set<std::string>(there.begin(), there.end()).size() == there.size());
          CHECK(there.size() == route_names(*machine, to, from).size());
        }
      }
    }
    CHECK(nics == std::set<std::size_t>{0, 1, 2, 3});
  }
}

TEST_CASE("every node topology gives rings that its links can carry", "[platforms]") {
  for (const NodeTopologyRow& row : node_topologies()) {
    INFO(row.name);
    const auto machine = machine_with(std::string(row.name));
    for (const std::vector<std::size_t>& gpus : {std::vector<std::size_t>{3},
                                                 {0, 5},
                                                 {0, 1, 2},
                                                 {0, 1, 2, 3},
                                                 {0, 2, 4, 6},
                                                 {0, 1, 2, 3, 4, 5, 6, 7}}) {
      INFO(gpus.size() << " GPUs");
      check_rings(*machine, gpus);
    }
  }
}

TEST_CASE("every node topology draws itself and names its numbers", "[platforms]") {
  for (const NodeTopologyRow& row : node_topologies()) {
    INFO(row.name);
    const Cluster cluster = cluster_from(cluster_file_with(std::string(row.name)));
    CHECK(cluster.node_wiring->name() == row.name);
    const std::string drawing = cluster.node_wiring->drawing({8, 4});
    CHECK(drawing.back() == '\n');
    for (const Fact& each : cluster.node_wiring->facts()) {
      CHECK(each.source == "a test");
    }
  }
}

TEST_CASE("in the cube mesh every GPU has six links to four neighbours", "[platforms]") {
  // 300 GB/s * 0.8 achieved.
  const auto machine = machine_with("hybrid_cube_mesh");
  for (const std::string node : {"node 0 ", "node 1 "}) {
    for (std::size_t gpu = 0; gpu < 8; ++gpu) {
      const std::string out = node + "gpu " + std::to_string(gpu) + " to ";
      BytesPerSecond sum;
      int neighbours = 0;
      for (const Link& link : machine->network().links) {
        if (link.name.rfind(out, 0) == 0) {
          sum += link.capacity;
          ++neighbours;
        }
      }
      INFO(out);
      CHECK(neighbours == 4);
      CHECK_THAT(sum / 240_GBps, WithinRel(1.0, 1e-9));
    }
  }
}

TEST_CASE("in the cube mesh GPUs without a link reach each other over a third", "[platforms]") {
  const auto machine = machine_with("hybrid_cube_mesh");
  CHECK(route_names(*machine, 0, 3) == Names{"node 0 gpu 0 to gpu 3"});
  // Over 3 there is one link on the way, over 4 there are two throughout.
  CHECK(route_names(*machine, 0, 7) == Names{"node 0 gpu 0 to gpu 4", "node 0 gpu 4 to gpu 7"});
}

TEST_CASE("rings of the cube mesh use all six links, those of a quad four", "[platforms]") {
  // The doubled links are one cycle, the single ones another, each both ways: 2 (2 + 1) links. A
  // GPU of a quad has four links in it.
  const auto machine = machine_with("hybrid_cube_mesh");
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7})), WithinRel(240.0, 1e-6));
  CHECK(rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7}).size() == 4);
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3})), WithinRel(160.0, 1e-6));
  CHECK_THAT(total_GBps(rings(*machine, {0, 3})), WithinRel(80.0, 1e-6));
}

TEST_CASE("rings of a full mesh use every link, those of a pair one", "[platforms]") {
  const auto machine = machine_with("full_mesh");
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7})), WithinRel(240.0, 1e-6));
  CHECK_THAT(total_GBps(rings(*machine, {2, 5})), WithinRel(240.0 / 7, 1e-6));
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3})), WithinRel(3 * 240.0 / 7, 1e-6));
}

TEST_CASE("under one PCIe switch traffic takes two links, to the other socket five",
          "[platforms]") {
  // 8 GPUs and 4 NICs under 4 switches.
  const auto machine = machine_with("pcie_tree");
  CHECK(route_names(*machine, 4, 5) ==
        Names{"node 0 gpu 4 to switch 2", "node 0 switch 2 to gpu 5"});
  CHECK(route_names(*machine, 0, 1) == Names{"node 0 gpu 0 to gpu 1"});  // a bridge
  CHECK(route_names(*machine, 1, 7) == Names{"node 0 gpu 1 to switch 0", "node 0 switch 0 to cpu 0",
                                             "node 0 cpu 0 to cpu 1", "node 0 cpu 1 to switch 3",
                                             "node 0 switch 3 to gpu 7"});
  CHECK(route_names(*machine, 1, 15) ==
        Names{"node 0 gpu 1 to switch 0", "node 0 switch 0 to nic 0", "node 0 nic 0 out",
              "node 1 nic 3 in", "node 1 nic 3 to switch 3", "node 1 switch 3 to gpu 7"});
}

TEST_CASE("a ring over a PCIe tree goes through the links between sockets once each way",
          "[platforms]") {
  // 20 GB/s between sockets * 0.8 achieved; beyond it nothing is left for a second ring.
  const auto machine = machine_with("pcie_tree");
  const auto all = rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7});
  REQUIRE(all.size() == 1);
  CHECK(all[0].gpus == std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6, 7});
  CHECK_THAT(all[0].rate / 16_GBps, WithinRel(1.0, 1e-6));
}

TEST_CASE("wired NICs are shared out to the GPUs that are as near", "[platforms]") {
  const auto machine = machine_with("wired");
  std::vector<std::size_t> nics;
  for (std::size_t gpu = 0; gpu < 8; ++gpu) {
    nics.push_back(machine->nic_of(DeviceId(gpu)));
  }
  CHECK(nics == std::vector<std::size_t>{0, 0, 1, 1, 2, 2, 3, 3});
  CHECK(route_names(*machine, 0, 15) == Names{"node 0 gpu 0 to cpu 0", "node 0 cpu 0 to nic 0",
                                              "node 0 nic 0 out", "node 1 nic 3 in",
                                              "node 1 nic 3 to cpu 1", "node 1 cpu 1 to gpu 7"});
}

TEST_CASE("on Summit GPU 0 reaches GPU 2 directly and GPU 3 over the X-bus", "[platforms]") {
  const auto machine = machine_of("summit");
  CHECK(route_names(*machine, 0, 2) == Names{"node 0 gpu 0 to gpu 2"});
  CHECK(route_names(*machine, 0, 3) ==
        Names{"node 0 gpu 0 to cpu 0", "node 0 cpu 0 to cpu 1", "node 0 cpu 1 to gpu 3"});
  // Each socket has a NIC: GPU 5 of node 0 leaves by nic 1, GPU 1 of node 1 is reached by nic 0.
  CHECK(route_names(*machine, 5, 7) == Names{"node 0 gpu 5 to cpu 1", "node 0 cpu 1 to nic 1",
                                             "node 0 nic 1 out", "node 1 nic 0 in",
                                             "node 1 nic 0 to cpu 0", "node 1 cpu 0 to gpu 1"});
  // A triplet has two rings of 0.8 * 50 GB/s, all six share the X-bus: 0.8 * 40 GB/s.
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2})), WithinRel(80.0, 1e-6));
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3, 4, 5})), WithinRel(32.0, 1e-6));
}

TEST_CASE("on Frontier a GCD without a NIC sends through its neighbour's", "[platforms]") {
  const auto machine = machine_of("frontier");
  CHECK(route_names(*machine, 4, 9) == Names{"node 0 gpu 4 to gpu 5", "node 0 gpu 5 to nic 2",
                                             "node 0 nic 2 out", "node 1 nic 0 in",
                                             "node 1 nic 0 to gpu 1"});
  // No link between 0 and 7: over 6, which has two links to 0 and four to 7.
  CHECK(route_names(*machine, 0, 7) == Names{"node 0 gpu 0 to gpu 6", "node 0 gpu 6 to gpu 7"});
  // RCCL builds four rings of one link each, 4 * 0.7 * 50 GB/s.
  check_rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7});
  CHECK(rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7}).size() == 4);
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3, 4, 5, 6, 7})), WithinRel(140.0, 1e-6));
  CHECK_THAT(total_GBps(rings(*machine, {0, 1})), WithinRel(140.0, 1e-6));
}

TEST_CASE("rings of 4 GH200 reach more than whole links would carry, as was measured",
          "[platforms]") {
  // Whole cycles leave a third of the links idle: 300 of 450 GB/s, less than the 339.5 measured at
  // most; the file's curve levels out at 0.748 of the links.
  const auto machine = machine_of("alps-gh200");
  CHECK_THAT(total_GBps(rings(*machine, {0, 1, 2, 3})), WithinRel(336.6, 0.001));
}

}  // namespace
}  // namespace foretrain::testing
