// Carries out the moves of a collective, and says whether everybody got everything exactly once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "strategies/collective/collective.hpp"

namespace foretrain::testing {

/// Carries out all moves of a collective of n members on some nodes. Empty when each member ends
/// with every contribution that its kind promises exactly once; else the first fault.
std::string fault_of(CollectiveKind kind, std::size_t num_members, std::size_t num_nodes,
                     const Moves& moves);

/// Bytes over each link, by its number.
std::vector<double> bytes_by_link(const Moves& moves, const CollectiveRequest& request,
                                  const Machine& machine);
std::vector<double> bytes_by_link(const FlowSchedule& schedule, const Machine& machine);

}  // namespace foretrain::testing
