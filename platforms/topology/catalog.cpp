// The table of topologies: add a row here and a file beside.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <utility>

#include "platforms/topology/topology.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<TopologyRow, 2> kTopologies = {{
    {"nvswitch",     "Every GPU of a node has an up and a down link to a switch that is never full",   nvswitch,     TopologyScope::node},
    {"non_blocking", "Every NIC has an out and an in link to a fabric that is never full (fat tree)", non_blocking, TopologyScope::fabric},
}};
// clang-format on

}  // namespace

std::span<const TopologyRow> topologies() { return kTopologies; }

const TopologyRow& topology(std::string_view name) {
  for (const TopologyRow& row : kTopologies) {
    if (row.name == name) {
      return row;
    }
  }
  throw InternalError("no topology called " + std::string(name));
}

LinkId add_link(Network& network, std::string name, BytesPerSecond capacity) {
  const LinkId id(network.links.size());
  network.links.push_back({std::move(name), capacity});
  return id;
}

}  // namespace foretrain
