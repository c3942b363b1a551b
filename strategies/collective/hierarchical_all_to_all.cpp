// All-to-all in two levels (PXN of NCCL 2.12): inside the node every member hands what is meant for
// the j-th GPU of any node to its own j-th GPU; these exchange along rails, so traffic crosses only
// its rail's leaf switch: k - 1 large messages per member over the network instead of n - g small.
//
// As in pairwise.cpp, one flow for all links that carry the same; one level ends before the next.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/traffic.hpp"

namespace foretrain {
namespace {

// The messages of a level are under way at once, as in pairwise.cpp.
constexpr StepCount kInside = {1, 0};
constexpr StepCount kBetween = {0, 1};

}  // namespace

FlowSchedule hierarchical_all_to_all(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::messages, request.protocol};
  const std::size_t g = placement.most_members;
  const std::size_t k = placement.nodes.size();
  const Bytes to_node = request.payload / static_cast<double>(k);  // what is meant for one node
  const Bytes to_rail = request.payload / static_cast<double>(g);  // or for one rail
  FlowSchedule schedule;
  if (g > 1) {
    Traffic inside(machine);
    for (const std::vector<Member>& node : placement.nodes) {
      inside.add_pairs_inside(node);
    }
    const double share = rate_share(request.payload, manner, Reach::node, placement, machine);
    schedule.phases.push_back(
        {latency(kInside, manner, placement, machine), inside.flows(to_rail, Bytes(0), share)});
  }
  Traffic between(machine);
  for (std::size_t j = 0; j < g; ++j) {
    between.add_pairs_between(rail(placement, j), Traffic::kMostRoutes / g);
  }
  StepCount steps = kBetween;
  steps.starts = schedule.phases.empty();
  const double share = rate_share(request.payload, manner, Reach::fabric, placement, machine);
  schedule.phases.push_back(
      {latency(steps, manner, placement, machine), between.flows(Bytes(0), to_node, share)});
  return schedule;
}

Moves hierarchical_all_to_all_moves(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const auto n = static_cast<std::uint32_t>(placement.num_members);
  const std::size_t g = placement.most_members;
  Moves moves = Moves::of(std::size_t{n} * n, n);
  // What these have for those.
  const auto chunks_for = [&](const std::vector<Member>& sources,
                              const std::vector<Member>& targets) {
    std::vector<std::uint32_t> chunks;
    for (const Member& source : sources) {
      for (const Member& target : targets) {
        chunks.push_back(source.rank * n + target.rank);
      }
    }
    return chunks;
  };
  for (const std::vector<Member>& node : placement.nodes) {
    for (const Member& from : node) {
      for (std::size_t j = 0; j < g; ++j) {
        if (node[j].rank != from.rank) {
          moves.add(0, {from.rank, node[j].rank, chunks_for({from}, rail(placement, j)), false});
        }
      }
    }
  }
  for (std::size_t j = 0; j < g; ++j) {
    for (const std::vector<Member>& source : placement.nodes) {
      for (const std::vector<Member>& target : placement.nodes) {
        if (&source != &target) {
          moves.add(g > 1 ? 1 : 0,
                    {source[j].rank, target[j].rank, chunks_for(source, {target[j]}), false});
        }
      }
    }
  }
  return moves;
}

}  // namespace foretrain
