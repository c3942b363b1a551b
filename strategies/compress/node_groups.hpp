// The parts of communicators inside and across nodes, for collectives in levels.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/compress/exchange.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// The slot of the members of a group that share a node, and of those, one of each node, that have
/// the same place there. They are filled where a body uses them.
[[nodiscard]] constexpr std::uint32_t slot_of(GroupPart part, std::uint32_t whole) {
  const auto first = static_cast<std::uint32_t>(kNumGroupSlots) + 2 * whole;
  switch (part) {
    case GroupPart::all:
      return whole;
    case GroupPart::inside:
      return first;
    case GroupPart::across:
      return first + 1;
  }
  return whole;
}

/// How the groups in a slot lie on the nodes; per_node is 0 unless all lie alike and evenly.
[[nodiscard]] GroupShape group_shape(const Run& run, std::uint32_t slot);

/// Whether a rank of some stage has its node in common with its neighbour of the next stage.
/// REQUIRES: pipeline > 1.
[[nodiscard]] bool stages_share_nodes(const Run& run);

/// Adds the groups of the slots above that bodies use, and binds them to their ranks. Rank r is on
/// node r / gpus_per_node. REQUIRES: the groups that are used so have as many members on each node.
void add_node_groups(std::size_t gpus_per_node, Program& program);

}  // namespace foretrain
