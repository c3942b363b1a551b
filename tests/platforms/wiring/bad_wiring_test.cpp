// SPDX-License-Identifier: Apache-2.0
// What a user reads after a mistake in the wiring of a node.
#include <string>
#include <string_view>

#include "tests/platforms/examples.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::string error(const std::string& topology, std::string_view from, std::string_view to) {
  return error_of([&] { return cluster_from(spoilt(cluster_file_with(topology), from, to)); });
}

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

TEST_CASE("meshes say how many GPUs they join", "[platforms][wiring]") {
  CHECK(error("hybrid_cube_mesh", "gpus_per_node = 8", "gpus_per_node = 4") ==
        R"(cluster.toml:10:12: node.topology: hybrid_cube_mesh joins 8 GPUs, but gpus_per_node = 4
  topology = "hybrid_cube_mesh"
             ^)");
  CHECK(says(error("full_mesh", "gpus_per_node = 8", "gpus_per_node = 100"),
             "full_mesh joins 2 to 64 GPUs, but gpus_per_node = 100"));
}

TEST_CASE("a rate that is missing or zero is reported once, whatever the topology",
          "[platforms][wiring]") {
  for (const std::string topology : {"full_mesh", "hybrid_cube_mesh", "pcie_tree"}) {
    CHECK(error(topology, "rate = \"300 GB/s\"", "rate = \"0 GB/s\"").find("node.rate: expected") !=
          std::string::npos);
  }
}

TEST_CASE("a rate of a PCIe tree is needed where there is such a link, and refused elsewhere",
          "[platforms][wiring]") {
  CHECK(says(error("pcie_tree", "socket_rate = \"20 GB/s\"\n", ""), "missing key 'socket_rate'"));
  CHECK(says(error("pcie_tree", "switch_uplink_rate = \"30 GB/s\"\n", ""),
             "missing key 'switch_uplink_rate'"));
  CHECK(says(error("pcie_tree", "pair_rate = \"50 GB/s\"\n", ""), "missing key 'pair_rate'"));
  CHECK(says(error("pcie_tree", "switches_per_socket = 2", "switches_per_socket = 0"),
             "switch_uplink_rate: switches_per_socket = 0: GPUs hang on the root complex"));
  CHECK(says(error("pcie_tree", "sockets = 2", "sockets = 1"),
             "socket_rate: sockets = 1: there is no link between sockets"));
  CHECK(says(error("pcie_tree", "nvlink_pairs = 2\n", ""),
             "pair_rate: no pair has a bridge: say how many with nvlink_pairs"));
  CHECK(says(error("pcie_tree", "nvlink_pairs = 2", "nvlink_pairs = 5"),
             "nvlink_pairs: expected a whole number from 1 to 4, got 5"));
  CHECK(says(error("pcie_tree", "\"20 GB/s\"", "\"0 GB/s\""),
             "socket_rate: expected a rate greater than zero"));
}

TEST_CASE("a link between what does not exist is refused with its position",
          "[platforms][wiring]") {
  CHECK(error("wired", "between = \"nic 2,3\"", "between = \"nic 2,4\"") ==
        R"(cluster.toml:19:15: node.links[6].between: there is no nic 4: this node has 4 of them
    { between = "nic 2,4", and = "cpu 1", rate = "25 GB/s" },
                ^)");
  CHECK(
      says(error("wired", "between = \"nic 2,3\"", "between = \"nics 2,3\""),
           "expected gpu, nic, switch or cpu and numbers such as \"gpu 0-2,5\", got \"nics 2,3\""));
  for (const std::string bad :
       {"gpu", "gpu ", "gpu 3-1", "gpu 1-", "gpu 1,", "gpu 1 2", "gpu -1", "gpu 99999", "gpu x"}) {
    INFO(bad);
    CHECK(!error("wired", "between = \"nic 2,3\"", "between = \"" + bad + "\"").empty());
  }
  CHECK(says(error("wired", "cpus = 2", "cpus = 1"), "there is no cpu 1: this node has 1 of them"));
}

TEST_CASE("a link to itself, a second one, and one without a rate are refused",
          "[platforms][wiring]") {
  CHECK(says(error("wired", "{ between = \"cpu 0\", and = \"cpu 1\"",
                   "{ between = \"cpu 0\", and = \"cpu 0\""),
             "links[4].and: cpu 0 cannot be linked to itself"));
  CHECK(says(error("wired", "{ between = \"cpu 0\", and = \"cpu 1\"",
                   "{ between = \"gpu 0,1\", and = \"gpu 1,2\""),
             "links[4].and: gpu 1 cannot be linked to itself"));
  CHECK(says(error("wired", "{ between = \"cpu 0\", and = \"cpu 1\"",
                   "{ between = \"gpu 1\", and = \"gpu 0\""),
             "links[4].and: gpu 1 and gpu 0 are linked by an entry before"));
  CHECK(says(error("wired", "\"60 GB/s\"", "\"0 GB/s\""),
             "links[4].rate: expected a rate greater than zero"));
  CHECK(says(error("wired", ", rate = \"60 GB/s\"", ""), "links[4]: missing key 'rate'"));
  CHECK(says(error("wired", "rate = \"60 GB/s\"", "rate = \"60 GB/s\", lanes = 2"),
             "unknown key 'lanes'"));
}

TEST_CASE("what cannot be reached, or is of no use, is refused", "[platforms][wiring]") {
  const std::string between_sockets =
      "  { between = \"cpu 0\", and = \"cpu 1\", rate = \"60 GB/s\" },\n";
  CHECK(
      says(error("wired", between_sockets, ""), "node.links: gpu 4 cannot be reached from gpu 0"));
  CHECK(says(error("wired", "between = \"nic 2,3\"", "between = \"nic 2\""),
             "node.links: nic 3 cannot be reached from gpu 0"));
  // All four NICs on one processor leave those of the other socket two hops further.
  CHECK(error("wired", "between = \"nic 2,3\", and = \"cpu 1\"",
              "between = \"nic 2,3\", and = \"cpu 0\"")
            .empty());
  CHECK(says(error("wired", "between = \"nic 2,3\", and = \"cpu 1\"",
                   "between = \"nic 2,3\", and = \"nic 0\""),
             "node.links: nic 2 cannot be reached from gpu 0"));
}

TEST_CASE("the links of a GPU may not sum to more than its rate", "[platforms][wiring]") {
  // Three links of 50 GB/s.
  CHECK(error("wired", "rate = \"300 GB/s\"", "rate = \"150 GB/s\"").empty());
  CHECK(says(error("wired", "rate = \"300 GB/s\"", "rate = \"149 GB/s\""),
             "gpu 0 has links of 150 GB/s to other GPUs, but rate = 149 GB/s"));
}

TEST_CASE("keys of one topology are unknown to another", "[platforms][wiring]") {
  CHECK(
      says(error("full_mesh", "topology = \"full_mesh\"", "topology = \"full_mesh\"\nsockets = 2"),
           "unknown key 'sockets'"));
}

}  // namespace
}  // namespace foretrain::testing
