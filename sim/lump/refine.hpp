// Colour refinement: the coarsest partition of a graph's nodes in which all members of a class have
// the same colour and see equally many members of every class (an equitable partition).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "sim/core/ids.hpp"

namespace foretrain {

using NodeId = Id<struct GraphNodeKind>;
using ColourId = Id<struct GraphColourKind>;
using ClassId = Id<struct GraphClassKind>;

/// A graph whose nodes have colours and whose edges have labels. Several edges may join two nodes.
class ColouredGraph {
 public:
  /// A colour is any list of words; nodes with unlike lists differ.
  ColourId colour(const std::vector<std::uint64_t>& words);
  NodeId add_node(ColourId colour);
  /// Both ends see the label.
  void join(NodeId a, NodeId b, std::size_t label);

  [[nodiscard]] std::size_t num_nodes() const { return colours_.size(); }
  [[nodiscard]] ColourId colour_of(NodeId node) const { return colours_[node.index()]; }

  struct Edge {
    NodeId a;
    NodeId b;
    std::uint32_t label = 0;
  };
  [[nodiscard]] const std::deque<Edge>& edges() const { return edges_; }

 private:
  std::map<std::vector<std::uint64_t>, ColourId> known_;
  std::vector<ColourId> colours_;  // by node
  std::deque<Edge> edges_;         // millions of them, and none is ever moved
};

/// One end of an edge, as the node at the other end sees it.
struct Neighbour {
  NodeId node;
  std::uint32_t label = 0;
};

/// Classes are numbered in the order of their first members.
struct Partition {
  std::vector<ClassId> classes;       ///< by node
  std::vector<NodeId> first_members;  ///< by class
  /// How the classes came about: by round, by class, to which class its members belonged then.
  /// Round 0 is the partition by colours.
  std::vector<std::vector<ClassId>> rounds;

  [[nodiscard]] std::size_t num_classes() const { return first_members.size(); }
  [[nodiscard]] ClassId of(NodeId node) const { return classes[node.index()]; }
  [[nodiscard]] bool is_first(NodeId node) const { return first_members[of(node).index()] == node; }
};

/// The coarsest equitable partition. Its classes are checked member by member before they are
/// returned, so they do not rest on the hashes by which they were found.
[[nodiscard]] Partition refine(const ColouredGraph& graph);

/// By class, all that its first member sees.
using Views = std::vector<std::vector<Neighbour>>;
[[nodiscard]] Views views(const ColouredGraph& graph, const Partition& partition);

}  // namespace foretrain
