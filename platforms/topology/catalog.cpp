// The tables of topologies: add a row here and a file beside.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include "platforms/topology/topology.hpp"

namespace foretrain {
namespace {

using config::Reader;

// clang-format off
constexpr std::array<NodeTopologyRow, 5> kNodeTopologies = {{
    {"nvswitch",         "Every GPU of a node has an up and a down link to a switch that is never full", [](Reader&, NodeSize, BytesPerSecond) { return nvswitch(); }},
    {"full_mesh",        "Every two GPUs of a node have links of their own, all alike",                  read_full_mesh},
    {"hybrid_cube_mesh", "The six NVLinks of each of eight GPUs as in DGX-1 with V100",                  read_hybrid_cube_mesh},
    {"pcie_tree",        "GPUs and NICs under PCIe switches or sockets, with or without NVLink bridges", read_pcie_tree},
    {"wired",            "Links between GPUs, NICs, switches and processors, one by one in the file",    read_wired},
}};
constexpr std::array<FabricTopologyRow, 5> kFabricTopologies = {{
    {"non_blocking",  "Every NIC has an out and an in link to a fabric that is never full",            [](Reader&) { return non_blocking(); }},
    {"single_switch", "All NICs on one switch, whose backplane may be narrower than its ports",        read_single_switch},
    {"fat_tree",      "Leaf, pod and spine levels, each with its oversubscription, with or without rails", read_fat_tree},
    {"dragonfly",     "Groups of fully joined switches, and links between every two groups",           read_dragonfly},
    {"torus",         "Nodes in a grid that wraps round, routed one dimension after another",          read_torus},
}};
// clang-format on

}  // namespace

std::span<const NodeTopologyRow> node_topologies() { return kNodeTopologies; }
std::span<const FabricTopologyRow> fabric_topologies() { return kFabricTopologies; }

LinkId add_link(Network& network, std::string name, BytesPerSecond capacity) {
  const LinkId id(network.links.size());
  network.links.push_back({std::move(name), capacity});
  return id;
}

std::string NicPort::name() const {
  return "node " + std::to_string(node) + " nic " + std::to_string(index);
}

}  // namespace foretrain
