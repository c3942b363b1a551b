// Flows from edges: what moves in lockstep is one flow, and the slowest link sets the rate of all.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "strategies/collective/placement.hpp"

namespace foretrain {

/// Appends the links from each member to the next, and back to the first if the ring is closed.
void append_chain(const std::vector<Member>& order, const Machine& machine,
                  std::vector<LinkId>& links);
void append_ring(const std::vector<Member>& order, const Machine& machine,
                 std::vector<LinkId>& links);

/// Capacity of the slowest of these links. REQUIRES: links is not empty.
[[nodiscard]] BytesPerSecond slowest(const std::vector<LinkId>& links, const Machine& machine);

/// One flow of `bytes` over every edge at once. A link that several edges use is in `links` as
/// often; the flow reaches `share` of the rate that it would have when alone.
[[nodiscard]] Flow lockstep(Bytes bytes, std::vector<LinkId> links, double share,
                            const Machine& machine);

}  // namespace foretrain
