// Colour refinement: the coarsest partition of a graph's nodes in which all members of a class have
// the same colour and see equally many members of every class (an equitable partition).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "sim/core/ids.hpp"

namespace foretrain {

using NodeId = Id<struct GraphNodeKind>;
using ClassId = Id<struct GraphClassKind>;

/// A graph whose nodes have colours and whose edges have labels. Several edges may join two nodes.
class ColouredGraph {
 public:
  /// A colour is any list of words; nodes with unlike lists differ.
  NodeId add_node(const std::vector<std::uint64_t>& colour);
  /// Both ends see the label.
  void join(NodeId a, NodeId b, std::size_t label);

  [[nodiscard]] std::size_t num_nodes() const { return colours_.size(); }
  [[nodiscard]] std::uint32_t colour(NodeId node) const { return colours_[node.index()]; }

  struct Edge {
    NodeId a;
    NodeId b;
    std::uint32_t label = 0;
  };
  [[nodiscard]] const std::vector<Edge>& edges() const { return edges_; }

 private:
  std::map<std::vector<std::uint64_t>, std::uint32_t> known_;
  std::vector<std::uint32_t> colours_;
  std::vector<Edge> edges_;
};

/// Classes are numbered in the order of their first members.
struct Partition {
  std::vector<ClassId> classes;       ///< by node
  std::vector<NodeId> first_members;  ///< by class

  [[nodiscard]] ClassId of(NodeId node) const { return classes[node.index()]; }
  [[nodiscard]] bool is_first(NodeId node) const { return first_members[of(node).index()] == node; }
};

/// The coarsest equitable partition. Its classes are checked member by member before they are
/// returned, so they do not rest on the hashes by which they were found.
[[nodiscard]] Partition refine(const ColouredGraph& graph);

}  // namespace foretrain
