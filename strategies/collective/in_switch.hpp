// What collectives share that let the switch of a node add up and hand out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "strategies/collective/latency.hpp"

namespace foretrain {

/// Why the switch of a node cannot add up; nothing when it can.
[[nodiscard]] std::optional<std::string> refuse_switch(const Placement& placement,
                                                       const Machine& machine);

/// Links of the members of all nodes to their switch and back. REQUIRES: refuse_switch() is empty.
struct Ports {
  std::vector<LinkId> up;
  std::vector<LinkId> down;
};
[[nodiscard]] Ports ports_of(const Placement& placement, const Machine& machine);

/// Share of what links achieve that ports reach while the switch adds up.
/// REQUIRES: refuse_switch() is empty.
[[nodiscard]] double in_switch_share(Bytes payload, const Manner& manner,
                                     const Placement& placement, const Machine& machine);

/// Everybody's chunks go up to a switch and each member takes its own sums down: two steps.
void add_switch_reduce(Moves& moves, std::size_t first, const std::vector<Member>& members,
                       std::uint32_t the_switch, const ChunksAt& own);
/// Each member sends its own chunks up and all take everything down: two steps.
void add_switch_spread(Moves& moves, std::size_t first, const std::vector<Member>& members,
                       std::uint32_t the_switch, const ChunksAt& own);

}  // namespace foretrain
