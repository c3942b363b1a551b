// Binomial trees (as in MPI and Gloo): who has the payload sends it on, so that twice as many have
// it after each step; a reduction the same backwards. Few steps, but each carries the whole
// payload. Farthest first: later steps stay inside nodes.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

/// The root, the rest of its node, the other nodes.
std::vector<Member> from_root(Placement placement) {
  for (std::vector<Member>& node : placement.nodes) {
    const auto root =
        std::find_if(node.begin(), node.end(), [](const Member& m) { return m.rank == 0; });
    if (root != node.end()) {
      std::rotate(node.begin(), root, node.end());
      std::swap(node, placement.nodes.front());
      break;
    }
  }
  return placement.in_order();
}

/// Sender and receiver of a broadcast in the step of a distance.
std::vector<std::pair<Member, Member>> edges_of(const std::vector<Member>& members,
                                                std::size_t distance) {
  std::vector<std::pair<Member, Member>> edges;
  for (std::size_t p = 0; p + distance < members.size(); p += 2 * distance) {
    edges.emplace_back(members[p], members[p + distance]);
  }
  return edges;
}

std::vector<std::size_t> steps_of(CollectiveKind kind, std::size_t n) {
  std::vector<std::size_t> distances;
  for (std::size_t distance = std::bit_ceil(n) / 2; distance > 0; distance /= 2) {
    distances.push_back(distance);
  }
  if (kind == CollectiveKind::reduce) {
    std::reverse(distances.begin(), distances.end());
  }
  return distances;
}

}  // namespace

FlowSchedule binomial(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::ring, request.protocol};
  const std::vector<Member> members = from_root(placement);
  const Reach reach = placement.reach();
  const double share = rate_share(request.payload, manner, reach, placement, machine);
  FlowSchedule schedule;
  for (const std::size_t distance : steps_of(request.kind, members.size())) {
    std::vector<LinkId> links;
    bool leaves_node = false;
    for (const auto& [upper, lower] : edges_of(members, distance)) {
      const bool is_down = request.kind == CollectiveKind::broadcast;
      machine.append_route((is_down ? upper : lower).device, (is_down ? lower : upper).device,
                           links);
      leaves_node = leaves_node || machine.node_of(upper.device) != machine.node_of(lower.device);
    }
    const StepCount steps{leaves_node ? 0.0 : 1.0, leaves_node ? 1.0 : 0.0,
                          schedule.phases.empty()};
    schedule.phases.push_back({latency(steps, manner, placement, machine),
                               {lockstep(request.payload, std::move(links), share, machine)}});
  }
  return schedule;
}

Moves binomial_moves(const CollectiveRequest& request, const Machine& machine) {
  const std::vector<Member> members = from_root(place(request, machine));
  Moves moves = Moves::of(1, 1);
  std::size_t step = 0;
  for (const std::size_t distance : steps_of(request.kind, members.size())) {
    for (const auto& [upper, lower] : edges_of(members, distance)) {
      if (request.kind == CollectiveKind::broadcast) {
        moves.add(step, {upper.rank, lower.rank, {0}, false});
      } else {
        moves.add(step, {lower.rank, upper.rank, {0}, true});
      }
    }
    ++step;
  }
  return moves;
}

}  // namespace foretrain
