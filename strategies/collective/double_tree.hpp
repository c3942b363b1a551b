// Two binary trees over the same nodes in which hardly any node is inner in both (Sanders, Speck
// and Traeff 2009): each carries half of the payload, and both together use every link both ways.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "strategies/collective/moves.hpp"

namespace foretrain {

/// The parent of every node; the root is its own.
using TreeParents = std::vector<std::size_t>;
/// REQUIRES: num_nodes >= 1.
[[nodiscard]] std::array<TreeParents, 2> double_binary_tree(std::size_t num_nodes);

/// What an average NIC carries, as a share of what the busiest does. Over two nodes all carry the
/// payload once; from three on, inner nodes carry it twice and all of k nodes 2 (k-1)/k on average.
[[nodiscard]] double busiest_nic_share(std::size_t num_nodes);

/// Edges from a node to the root.
[[nodiscard]] std::size_t depth_of(std::size_t node, const TreeParents& parents);
/// The greatest of them.
[[nodiscard]] std::size_t height_of(const TreeParents& parents);

/// Sums of one chunk go up the tree from step `first` on, then the result comes down: 2 x height
/// steps. `members` has one of each node.
void add_tree_passes(Moves& moves, std::size_t first, const TreeParents& parents,
                     const std::vector<std::uint32_t>& members, std::uint32_t chunk);

}  // namespace foretrain
