// A node that is wired as a graph: what its topologies share once they know their links.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/topology/topology.hpp"
#include "platforms/wiring/link_graph.hpp"

namespace foretrain {

/// More GPUs than this are joined by switches, not by links of their own.
inline constexpr std::size_t kMostWiredGpus = 64;

struct GraphNode {
  std::string_view name;  ///< of its topology
  LinkGraph graph;
  std::vector<Fact> facts;
  std::string drawing;
  bool is_pcie = false;  ///< see NodeWiring::is_pcie
};

/// Where NICs have no links the way to them is never the bottleneck. Where they have, a GPU sends
/// through the nearest; of several, those that are as near to the same GPUs are shared out evenly.
/// REQUIRES: mistake_in(graph) is empty.
[[nodiscard]] std::shared_ptr<const NodeWiring> wire(GraphNode node);

/// Why such a node cannot be built: a GPU or NIC that cannot be reached, or a NIC that no GPU
/// would use. Empty where it can.
[[nodiscard]] std::string mistake_in(const LinkGraph& graph);

/// GB/s one way from every GPU to every other that it has a link to.
[[nodiscard]] std::string link_matrix(const LinkGraph& graph);

}  // namespace foretrain
