// Which rings NCCL would build over GPUs that are wired to each other: cycles through all of them
// that use their links up.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "platforms/topology/topology.hpp"
#include "platforms/wiring/link_graph.hpp"

namespace foretrain {

/// Rings with their rates, which together stay within every link; the shares are in proportion to
/// the rates. Among up to eight members the search backtracks until the links of some member are
/// used up, or it has looked for long enough; among more it takes equal strides and widest orders.
/// REQUIRES: members ascend, are not empty, and reach each other.
[[nodiscard]] std::vector<RingOrder> search_rings(const std::vector<std::size_t>& members,
                                                  const LinkGraph& graph, const Routes& routes);

}  // namespace foretrain
