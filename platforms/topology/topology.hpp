// Topologies: how the ports of one interconnect are wired. The visible table is in catalog.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/program/network.hpp"

namespace foretrain {

/// Where a topology may stand.
enum class TopologyScope : std::uint8_t { node, fabric };

/// Where traffic enters and leaves an interconnect: a GPU inside a node, or a NIC between nodes.
struct Port {
  std::string name;  ///< "node 3 gpu 5", "node 3 nic 1"; links are named after it
  std::size_t node = 0;
  std::size_t index = 0;  ///< within the node
};

/// The wired ports: which links lead from one to another.
class Topology {
 public:
  Topology() = default;
  virtual ~Topology() = default;
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  /// Appends the links from one port to another, in order. REQUIRES: from != to.
  virtual void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const = 0;
};

/// Adds the links of these ports to the network; `capacity` is what one port achieves one way.
using TopologyFunction = std::unique_ptr<Topology> (*)(std::span<const Port> ports,
                                                       BytesPerSecond capacity, Network& network);

struct TopologyRow {
  std::string_view name;
  std::string_view sentence;
  TopologyFunction build;
  TopologyScope scope;
};

/// All topologies.
[[nodiscard]] std::span<const TopologyRow> topologies();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const TopologyRow& topology(std::string_view name);

/// Adds one link and returns its id.
[[nodiscard]] LinkId add_link(Network& network, std::string name, BytesPerSecond capacity);

// The implementations, one file each.
[[nodiscard]] std::unique_ptr<Topology> nvswitch(std::span<const Port> ports,
                                                 BytesPerSecond capacity, Network& network);
[[nodiscard]] std::unique_ptr<Topology> non_blocking(std::span<const Port> ports,
                                                     BytesPerSecond capacity, Network& network);

}  // namespace foretrain
