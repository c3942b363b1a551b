// All-to-all as every pair's own message (NCCL's grouped send and receive): member i sends to i +
// 1, i + 2, ... round the group. All are posted at once and share links as they meet.
//
// No flow per pair: all messages drain together, so links that carry the same bytes are one flow.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/traffic.hpp"

namespace foretrain {
namespace {

// All messages are under way at once: one network hop is waited for, and every peer costs the
// sender a hop inside the node. An assumption: no small all-to-alls over many sizes are published.
StepCount pairwise_steps(const Placement& placement) {
  const auto peers = static_cast<double>(placement.num_members - 1);
  return placement.spans_nodes() ? StepCount{peers - 1, 1} : StepCount{peers, 0};
}

}  // namespace

FlowSchedule pairwise(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Reach reach = placement.reach();
  const double share = rate_share(request.payload, reach, placement, machine);
  Traffic traffic(machine);
  for (const std::vector<Member>& node : placement.nodes) {
    traffic.add_pairs_inside(node);
  }
  traffic.add_pairs_between(placement.in_order());
  const Bytes message = request.payload / static_cast<double>(placement.num_members);
  return {{{latency(pairwise_steps(placement), placement, machine),
            traffic.flows(message, message, share)}}};
}

Moves pairwise_moves(const CollectiveRequest& request, const Machine& machine) {
  const std::vector<std::uint32_t> ranks = ranks_of(place(request, machine).in_order());
  const auto n = static_cast<std::uint32_t>(ranks.size());
  Moves moves = Moves::of(std::size_t{n} * n, n);
  for (std::uint32_t distance = 1; distance < n; ++distance) {
    for (std::uint32_t p = 0; p < n; ++p) {
      const std::uint32_t from = ranks[p];
      const std::uint32_t to = ranks[(p + distance) % n];
      moves.add(distance - 1, {from, to, {from * n + to}, false});
    }
  }
  return moves;
}

}  // namespace foretrain
