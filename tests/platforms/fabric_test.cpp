// SPDX-License-Identifier: Apache-2.0
// What joins the nodes: routes and capacities worked out by hand, and mistakes in the keys.
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/cluster.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/platforms/routes.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

std::string cluster_text(std::string_view fabric) {
  return spoilt(kClusterFile, "topology = \"non_blocking\"\n", std::string(fabric) + "\n");
}

// Eight GPUs and four NICs a node, 0.9 * 200 Gb/s = 22.5 GB/s a NIC.
Cluster cluster_with(std::string_view fabric, const std::string& nodes = "2") {
  const std::string text =
      spoilt(cluster_text(fabric), "nodes = 2\nmax_nodes = 4", "nodes = " + nodes);
  return cluster_from(text);
}

std::string fabric_error(std::string_view fabric) {
  return error_of([&] { return cluster_from(cluster_text(fabric)); });
}

double capacity_of(const Machine& machine, const std::string& name) {
  for (const Link& link : machine.network().links) {
    if (link.name == name) {
      return link.capacity / 1_GBps;
    }
  }
  FAIL("no link " << name);
  return 0;
}

/// Keys with which a topology can be tried at any number of nodes up to 64.
const std::map<std::string_view, std::string_view> kKeys = {
    {"non_blocking", ""},
    {"single_switch", "backplane = '1 TB/s'"},
    {"fat_tree",
     "rails = true\nlevels = [{ name = 'leaf', nodes = 2, oversubscription = 1.5 }, "
     "{ name = 'pod', nodes = 4, oversubscription = 2 }]"},
    {"dragonfly",
     "nodes_per_switch = 2\nswitches_per_group = 4\ngroups = 8\nglobal_links = 2\n"
     "link_rate = '25 GB/s'\nrouting = 'minimal'"},
    {"torus", "dimensions = [4, 4, 4]\nlink_rate = '50 GB/s'"},
};

TEST_CASE("every fabric joins the NICs of every two nodes, both ways alike", "[platforms]") {
  for (const FabricTopologyRow& row : fabric_topologies()) {
    for (const std::size_t nodes : {1U, 2U, 3U, 13U}) {
      INFO(row.name << " with " << nodes << " nodes");
      const std::string keys =
          "topology = '" + std::string(row.name) + "'\n" + std::string(kKeys.at(row.name));
      const Machine machine(cluster_with(keys), nodes);
      CHECK(machine.cluster().fabric_wiring->name() == row.name);
      CHECK_FALSE(machine.cluster().fabric_wiring->drawing(nodes, 4).empty());
      std::set<std::string> names;
      for (const Link& link : machine.network().links) {
        CHECK(names.insert(link.name).second);
        CHECK(link.capacity > BytesPerSecond(0));
      }
      for (std::size_t from = 0; from < machine.num_devices(); ++from) {
        for (std::size_t to = 0; to < machine.num_devices(); ++to) {
          if (from == to) {
            continue;
          }
          const std::vector<std::string> there = route_names(machine, from, to);
          CHECK(there.size() == route_names(machine, to, from).size());
          CHECK(std::set<std::string>(there.begin(), there.end()).size() == there.size());
        }
      }
    }
  }
}

TEST_CASE("a switch's backplane is shared by all that crosses it", "[platforms]") {
  const Machine machine(cluster_with("topology = 'single_switch'\nbackplane = '100 GB/s'"), 2);
  CHECK(route_names(machine, 0, 9) ==
        std::vector<std::string>{"node 0 nic 0 out", "switch backplane", "node 1 nic 0 in"});
  CHECK_THAT(capacity_of(machine, "switch backplane"), WithinRel(90.0, 1e-12));
}

TEST_CASE("a tree's route climbs only as far as it must, over links narrower than below",
          "[platforms]") {
  const Machine machine(cluster_with("topology = 'fat_tree'\nlevels = ["
                                     "{ name = 'leaf', nodes = 2, oversubscription = 1.5 },"
                                     "{ name = 'pod', nodes = 4, oversubscription = 2 }]",
                                     "16"),
                        8);
  CHECK(route_names(machine, 0, 8) ==
        std::vector<std::string>{"node 0 nic 0 out", "node 1 nic 0 in"});
  CHECK(route_names(machine, 0, 16) == std::vector<std::string>{"node 0 nic 0 out", "leaf 0 up",
                                                                "leaf 1 down", "node 2 nic 0 in"});
  CHECK(route_names(machine, 63, 0) == std::vector<std::string>{"node 7 nic 3 out", "leaf 3 up",
                                                                "pod 1 up", "pod 0 down",
                                                                "leaf 0 down", "node 0 nic 0 in"});
  // Two nodes of four NICs at 22.5 GB/s are 180 GB/s; four nodes are 360, over 1.5 * 2.
  CHECK_THAT(capacity_of(machine, "leaf 0 up"), WithinRel(180 / 1.5, 1e-12));
  CHECK_THAT(capacity_of(machine, "pod 1 down"), WithinRel(360 / 3.0, 1e-12));
}

TEST_CASE("levels without oversubscription add no links: they can never be full", "[platforms]") {
  const Machine machine(cluster_with("topology = 'fat_tree'\nlevels = ["
                                     "{ name = 'leaf', nodes = 2, oversubscription = 1 }]"),
                        2);
  const Machine plain(cluster_with("topology = 'non_blocking'"), 2);
  CHECK(machine.network().links.size() == plain.network().links.size());
}

TEST_CASE("with rails a leaf serves one NIC of each node, and rails meet above", "[platforms]") {
  const std::string keys =
      "topology = 'fat_tree'\nrails = true\n"
      "levels = [{ name = 'leaf', nodes = 2, oversubscription = 2 }]";
  const Machine machine(cluster_with(keys), 4);
  // GPUs 0 and 1 share rail 0; GPU 15 is on rail 3 of node 1.
  CHECK(route_names(machine, 0, 9) ==
        std::vector<std::string>{"node 0 nic 0 out", "node 1 nic 0 in"});
  CHECK(route_names(machine, 0, 15) == std::vector<std::string>{"node 0 nic 0 out", "leaf 0 up",
                                                                "leaf 3 down", "node 1 nic 3 in"});
  CHECK(route_names(machine, 0, 16) == std::vector<std::string>{"node 0 nic 0 out", "leaf 0 up",
                                                                "leaf 4 down", "node 2 nic 0 in"});
  CHECK_THAT(capacity_of(machine, "leaf 0 up"), WithinRel(2 * 22.5 / 2, 1e-12));

  // With PXN the message changes rails inside the node: first to GPU 6, the first on rail 3.
  const Machine pxn(cluster_with(keys + "\npxn = true"), 4);
  CHECK(route_names(pxn, 0, 15) == std::vector<std::string>{"node 0 gpu 0 up", "node 0 gpu 6 down",
                                                            "node 0 nic 3 out", "node 1 nic 3 in"});
  CHECK(route_names(pxn, 0, 9) == route_names(machine, 0, 9));
}

TEST_CASE("a dragonfly's groups share what leaves them, or what lies between two", "[platforms]") {
  const std::string keys =
      "topology = 'dragonfly'\nnodes_per_switch = 1\nswitches_per_group = 2\ngroups = 5\n"
      "local_links = 3\nglobal_links = 4\nlink_rate = '10 GB/s'\n";
  const Machine adaptive(cluster_with(keys), 6);
  CHECK(route_names(adaptive, 0, 8) ==
        std::vector<std::string>{"node 0 nic 0 out", "group 0 switch 0 out", "group 0 switch 1 in",
                                 "node 1 nic 0 in"});
  CHECK(route_names(adaptive, 8, 40) == std::vector<std::string>{"node 1 nic 0 out", "group 0 out",
                                                                 "group 2 in", "node 5 nic 0 in"});
  // 0.9 of 3 local links to one other switch; of 4 global links to each of 4 other groups.
  CHECK_THAT(capacity_of(adaptive, "group 0 switch 0 out"), WithinRel(27.0, 1e-12));
  CHECK_THAT(capacity_of(adaptive, "group 2 in"), WithinRel(144.0, 1e-12));

  const Machine minimal(cluster_with(keys + "routing = 'minimal'"), 6);
  CHECK(route_names(minimal, 8, 40) ==
        std::vector<std::string>{"node 1 nic 0 out", "group 0 to 2", "node 5 nic 0 in"});
  CHECK_THAT(capacity_of(minimal, "group 0 to 2"), WithinRel(36.0, 1e-12));
}

TEST_CASE("a torus goes round the shorter way, one dimension after another", "[platforms]") {
  const Machine machine(cluster_with("topology = 'torus'\ndimensions = [4, 3]\n"
                                     "link_rate = '10 GB/s'"),
                        12);
  // Node 0 is (0, 0), node 11 is (3, 2): one hop down along each axis, both wrapping round.
  CHECK(route_names(machine, 0, 88) ==
        std::vector<std::string>{"node 0 nic 0 out", "torus 0 axis 0 down", "torus 3 axis 1 down",
                                 "node 11 nic 0 in"});
  // Node 2 is (2, 0): halfway, so upwards.
  CHECK(route_names(machine, 0, 16) ==
        std::vector<std::string>{"node 0 nic 0 out", "torus 0 axis 0 up", "torus 1 axis 0 up",
                                 "node 2 nic 0 in"});
  CHECK_THAT(capacity_of(machine, "torus 0 axis 0 up"), WithinRel(9.0, 1e-12));
}

TEST_CASE("a slow port narrows the NICs of its node and no others", "[platforms]") {
  const Machine machine(cluster_with("topology = 'non_blocking'\n"
                                     "slow_ports = [{ node = 1, rate = '100 Gb/s' }, "
                                     "{ node = 0, nic = 2, rate = '40 Gb/s' }]"),
                        2);
  CHECK_THAT(capacity_of(machine, "node 1 nic 3 in"), WithinRel(0.9 * 12.5, 1e-12));
  CHECK_THAT(capacity_of(machine, "node 0 nic 2 out"), WithinRel(0.9 * 5, 1e-12));
  CHECK_THAT(capacity_of(machine, "node 0 nic 1 out"), WithinRel(22.5, 1e-12));
}

TEST_CASE("mistakes in a fabric's keys are told with their place", "[platforms]") {
  CHECK(
      fabric_error("topology = 'fat_tree'") ==
      R"(cluster.toml:18:1: fabric: levels: expected at least one, such as { name = "leaf", nodes = 32, oversubscription = 1 }
  [fabric]
  ^)");
  CHECK(
      fabric_error("topology = 'fat_tree'\nlevels = [{ name = 'leaf', nodes = 4, oversubscription "
                   "= 1 }, { name = 'pod', nodes = 6, oversubscription = 2 }]")
          .find("fabric.levels[1].nodes: expected a multiple of the 4 nodes of the level below") !=
      std::string::npos);
  CHECK(
      fabric_error("topology = 'fat_tree'\nlevels = [{ name = 'leaf', nodes = 4, oversubscription "
                   "= 0.5 }]")
          .find("oversubscription: expected a number from 1.0 to 1000.0, got 0.5") !=
      std::string::npos);
  CHECK(fabric_error("topology = 'fat_tree'\npxn = true\nlevels = [{ name = 'leaf', nodes = 4, "
                     "oversubscription = 1 }]")
            .find("fabric.pxn: has no effect without rails = true; remove it") !=
        std::string::npos);
  CHECK(fabric_error("topology = 'torus'\ndimensions = [1]\nlink_rate = '1 GB/s'")
            .find("fabric.topology: holds 1 nodes, but nodes = 2") != std::string::npos);
  CHECK(fabric_error("topology = 'torus'\nlink_rate = '1 GB/s'")
            .find("fabric: dimensions: expected the sizes of a grid") != std::string::npos);
  CHECK(fabric_error("topology = 'dragonfly'\nnodes_per_switch = 1\nswitches_per_group = 2\ngroups "
                     "= 5\nglobal_links = 4\nlink_rate = '0 GB/s'")
            .find("fabric.link_rate: expected a rate greater than zero") != std::string::npos);
  CHECK(fabric_error("topology = 'non_blocking'\nslow_ports = [{ node = 2, rate = '1 GB/s' }]")
            .find("fabric.slow_ports[0].node: expected a whole number from 0 to 1, got 2") !=
        std::string::npos);
  CHECK(fabric_error("topology = 'non_blocking'\nrails = true").find("unknown key 'rails'") !=
        std::string::npos);
}

constexpr std::string_view kMixedFile = R"(name = "Mixed"
source = "a test"

[[parts]]
cluster = "dgx-a100-80gb"
nodes = 2

[[parts]]
cluster = "dgx-h100"
nodes = 4

[fabric]
topology = "non_blocking"
rate = "300 Gb/s"
achieved = 1.0
collective_latency = "12 us"
hop_latency = "9 us"
point_to_point_latency = "20 us"
)";

TEST_CASE("a mixed cluster holds its kinds in their proportion", "[platforms]") {
  const Cluster cluster = cluster_from(std::string(kMixedFile));
  CHECK(cluster.nodes == 6);
  CHECK(cluster.node_unit() == 3);
  CHECK(cluster.nodes_of_kinds(9) == std::vector<std::int64_t>{3, 6});
  CHECK_THROWS_AS(cluster.nodes_of_kinds(4), InternalError);
  const Machine machine(cluster, 3);
  CHECK(machine.gpu_of(DeviceId(7)).name == "A100 SXM4 80GB");
  CHECK(machine.gpu_of(DeviceId(8)).name == "H100 SXM5 80GB");
  CHECK(machine.kind_of(2) == 1);
  CHECK(machine.inside(0).rate.value == 300_GBps);
  CHECK(machine.inside(1).rate.value == 450_GBps);
  // HDR, 25 GB/s times what it achieves there; NDR would do 47.5, but its port is one of 300 Gb/s.
  CHECK(capacity_of(machine, "node 0 nic 0 out") < 25);
  CHECK_THAT(capacity_of(machine, "node 1 nic 0 out"), WithinRel(37.5, 1e-12));
}

TEST_CASE("a mixed cluster of unlike nodes, of itself, or of nothing known is refused",
          "[platforms]") {
  const auto error = [](std::string_view from, std::string_view to) {
    return error_of([&] { return cluster_from(spoilt(kMixedFile, from, to)); });
  };
  CHECK(error("dgx-h100", "dgx-2").find("nodes of unlike size cannot be mixed") !=
        std::string::npos);
  CHECK(error("dgx-h100", "dgx-h10").find("did you mean 'dgx-h100'") != std::string::npos);
  CHECK(error("nodes = 4", "nodes = 0").find("parts[1].nodes") != std::string::npos);
  CHECK(error("[fabric]\n", "[node]\n[fabric]\n").find("unknown key 'node'") != std::string::npos);
}

}  // namespace
}  // namespace foretrain::testing
