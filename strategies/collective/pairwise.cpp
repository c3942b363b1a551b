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

// All messages are under way at once, so one hop is waited for: an all-to-all of 32 MiB on 256 GPUs
// over EFA takes 1.7 ms (crazyguitar/aws-gpu-communication-benchmark), in which 255 hops have no
// room. What many small messages cost is in rate_share().
StepCount pairwise_steps(const Placement& placement) {
  return placement.spans_nodes() ? StepCount{0, 1} : StepCount{1, 0};
}

}  // namespace

FlowSchedule pairwise(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::messages, request.protocol};
  const Reach reach = placement.reach();
  const double share = rate_share(request.payload, manner, reach, placement, machine);
  Traffic traffic(machine);
  for (const std::vector<Member>& node : placement.nodes) {
    traffic.add_pairs_inside(node);
  }
  traffic.add_pairs_between(placement.in_order());
  const Bytes message = request.payload / static_cast<double>(placement.num_members);
  return {{{latency(pairwise_steps(placement), manner, placement, machine),
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
