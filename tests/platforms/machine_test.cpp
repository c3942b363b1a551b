// SPDX-License-Identifier: Apache-2.0
// Links and routes: laws of every topology, and of the machines that every cluster file makes.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/config/catalogue.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/platforms/routes.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

void check_network(const Network& network) {
  std::set<std::string> names;
  for (const Link& link : network.links) {
    INFO(link.name);
    CHECK(names.insert(link.name).second);
    CHECK(link.capacity > BytesPerSecond(0));
  }
}

void check_route(const std::vector<LinkId>& route, const Network& network) {
  CHECK_FALSE(route.empty());
  CHECK(std::set<LinkId>(route.begin(), route.end()).size() == route.size());
  for (const LinkId link : route) {
    CHECK(link.index() < network.links.size());
  }
}

std::vector<LinkId> route(const Machine& machine, std::size_t from, std::size_t to) {
  std::vector<LinkId> links;
  machine.append_route(DeviceId(from), DeviceId(to), links);
  return links;
}

// "node 3 gpu 1 up" as "gpu 1 up"; other names as they are.
std::string without_node(const std::string& name) {
  if (name.rfind("node ", 0) != 0) {
    return name;
  }
  return name.substr(name.find(' ', std::string("node ").size()) + 1);
}

std::size_t node_in(const std::string& name) {
  return name.rfind("node ", 0) == 0 ? std::stoul(name.substr(std::string("node ").size())) : 0;
}

TEST_CASE("every cluster joins every pair of devices and uses all nodes alike", "[platforms]") {
  for (const std::string& name : config::names_in(kPlatforms + "/clusters")) {
    for (const std::size_t units : {1U, 3U}) {
      config::Sources sources;
      const Cluster cluster = load_cluster(sources, name, kPlatforms);
      const std::size_t nodes = units * static_cast<std::size_t>(cluster.node_unit());
      INFO(name << " with " << nodes << " nodes");
      const auto machine = build_machine(cluster, nodes);
      const std::size_t gpus = static_cast<std::size_t>(machine->cluster().gpus_per_node);
      CHECK(machine->num_devices() == nodes * gpus);
      check_network(machine->network());
      // All pairs at once load the same link of all nodes of one kind with as many routes.
      std::map<std::string, std::set<int>> loads;
      std::vector<int> load(machine->network().links.size());
      for (std::size_t from = 0; from < machine->num_devices(); ++from) {
        for (std::size_t to = 0; to < machine->num_devices(); ++to) {
          if (from != to) {
            check_route(route(*machine, from, to), machine->network());
            CHECK(route(*machine, from, to).size() == route(*machine, to, from).size());
            for (const LinkId link : route(*machine, from, to)) {
              ++load[link.index()];
            }
          }
        }
      }
      for (std::size_t i = 0; i < load.size(); ++i) {
        const std::string& link = machine->network().links[i].name;
        if (link.rfind("node ", 0) == 0) {
          const std::string kind = std::to_string(machine->kind_of(node_in(link)));
          loads["kind " + kind + " " + without_node(link)].insert(load[i]);
        }
      }
      for (const auto& [kind, counts] : loads) {
        INFO(kind);
        CHECK(counts.size() == 1);
      }
    }
  }
}

TEST_CASE("inside a node a route goes up to the switch and down", "[platforms]") {
  const auto machine = build_machine(cluster_from(std::string(kClusterFile)), 2);
  CHECK(route_names(*machine, 0, 7) ==
        std::vector<std::string>{"node 0 gpu 0 up", "node 0 gpu 7 down"});
  CHECK(route_names(*machine, 13, 8) ==
        std::vector<std::string>{"node 1 gpu 5 up", "node 1 gpu 0 down"});
}

TEST_CASE("between nodes a route goes out of one NIC into another, two GPUs to a NIC",
          "[platforms]") {
  // GPU i of 8 uses NIC i * 4 / 8.
  const auto machine = build_machine(cluster_from(std::string(kClusterFile)), 2);
  CHECK(route_names(*machine, 0, 8) ==
        std::vector<std::string>{"node 0 nic 0 out", "node 1 nic 0 in"});
  CHECK(route_names(*machine, 1, 15) ==
        std::vector<std::string>{"node 0 nic 0 out", "node 1 nic 3 in"});
  CHECK(route_names(*machine, 14, 2) ==
        std::vector<std::string>{"node 1 nic 3 out", "node 0 nic 1 in"});
}

TEST_CASE("a link carries the achieved share of its rate", "[platforms]") {
  // 0.8 * 300 GB/s per GPU; 0.9 * 200 Gb/s = 22.5 GB/s per NIC. 2 nodes * 2 * (8 GPUs + 4 NICs).
  const auto machine = build_machine(cluster_from(std::string(kClusterFile)), 2);
  CHECK(machine->network().links.size() == 48);
  for (const Link& link : machine->network().links) {
    const bool is_nic = link.name.find("nic") != std::string::npos;
    CHECK_THAT(link.capacity / (is_nic ? 22.5_GBps : 240_GBps), WithinRel(1.0, 1e-9));
  }
}

TEST_CASE("device d is GPU d mod 8 of node d / 8", "[platforms]") {
  const auto machine = build_machine(cluster_from(std::string(kClusterFile)), 2);
  CHECK(machine->node_of(DeviceId(7)) == 0);
  CHECK(machine->node_of(DeviceId(8)) == 1);
  CHECK(machine->local_index(DeviceId(13)) == 5);
}

TEST_CASE("a route from a device to itself, or beyond the machine, is our bug", "[platforms]") {
  const auto machine = build_machine(cluster_from(std::string(kClusterFile)), 2);
  CHECK_THROWS_AS(route(*machine, 3, 3), InternalError);
  CHECK_THROWS_AS(route(*machine, 3, 16), InternalError);
  CHECK_THROWS_AS(build_machine(machine->cluster(), 0), InternalError);
}

}  // namespace
}  // namespace foretrain::testing
