// Level by level (as in BlueConnect, Cho et al. 2019): reduce-scatter inside every node, all-reduce
// of what each local GPU then has with its like on the other nodes, all-gather inside. The network
// carries 1/g of the payload per GPU, each on its own NIC. A level ends before the next begins.
//
// One flow for all rings of a level that carry as much: the slowest ends the level.
// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

/// Rings inside the nodes, or along the rails between them.
std::vector<RingWay> rings_of(const Placement& placement, Reach level, const Machine& machine) {
  std::vector<RingWay> rings;
  if (level == Reach::node) {
    for (const std::vector<Member>& node : placement.nodes) {
      for (RingWay& way : ring_ways(node, machine)) {
        rings.push_back(std::move(way));
      }
    }
    return rings;
  }
  for (std::size_t j = 0; j < placement.most_members; ++j) {
    rings.push_back({rail(placement, j), 1, BytesPerSecond(0)});
  }
  return rings;
}

/// `bytes` round every ring, those that carry the same share of them in one flow.
std::vector<Flow> flows_of(Bytes bytes, const std::vector<RingWay>& rings, double share,
                           const Machine& machine) {
  std::map<double, std::vector<LinkId>> links;  // by parts
  for (const RingWay& ring : rings) {
    append_ring(ring.order, machine, links[ring.parts]);
  }
  std::vector<Flow> flows;
  flows.reserve(links.size());
  for (auto& [parts, used] : links) {
    flows.push_back(lockstep(bytes / parts, std::move(used), share, machine));
  }
  return flows;
}

/// Levels of a collective in order, and how often its chunks go round. In a pipeline of chunks they
/// would overlap: an all-reduce of 4 GiB on four nodes of 8 B200 takes 22.1 ms
/// (stas00/ml-engineering), where these formulas give 16.1 ms with complete overlap and 26.3 ms
/// without.
struct Level {
  Reach reach = Reach::node;
  double passes = 1;
};
std::vector<Level> levels_of(CollectiveKind kind, const Placement& placement) {
  std::vector<Level> levels;
  if (kind != CollectiveKind::all_gather && placement.most_members > 1) {
    levels.push_back({Reach::node, 1});
  }
  levels.push_back({Reach::fabric, kind == CollectiveKind::all_reduce ? 2.0 : 1.0});
  if (kind != CollectiveKind::reduce_scatter && placement.most_members > 1) {
    levels.push_back({Reach::node, 1});
  }
  return levels;
}

}  // namespace

FlowSchedule hierarchical(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::ring, request.protocol};
  const auto g = static_cast<double>(placement.most_members);
  const auto k = static_cast<double>(placement.nodes.size());
  FlowSchedule schedule;
  for (const Level& level : levels_of(request.kind, placement)) {
    const bool is_inside = level.reach == Reach::node;
    const Bytes bytes =
        request.payload * (is_inside ? (g - 1) / g : level.passes * (k - 1) / k / g);
    StepCount steps = is_inside ? StepCount{g - 1, 0} : StepCount{0, level.passes * (k - 1)};
    steps.starts = schedule.phases.empty();
    const double share = rate_share(request.payload, manner, level.reach, placement, machine);
    schedule.phases.push_back(
        {latency(steps, manner, placement, machine),
         flows_of(bytes, rings_of(placement, level.reach, machine), share, machine)});
  }
  return schedule;
}

// Of nodes behind a switch, where one ring goes round the members in their order.
Moves hierarchical_moves(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const std::size_t g = placement.most_members;
  const bool scatters = request.kind != CollectiveKind::all_gather;
  const bool gathers = request.kind != CollectiveKind::reduce_scatter;
  Moves moves = Moves::of(placement.num_members, placement.num_members);
  const ChunksAt of_rail = [&](std::size_t j) { return ranks_of(rail(placement, j)); };
  std::size_t first = 0;
  if (scatters) {
    for (const std::vector<Member>& node : placement.nodes) {
      add_ring_scatter(moves, first, ranks_of(node), of_rail);
    }
    first = g - 1;
  }
  const std::size_t pass = placement.nodes.size() - 1;
  for (std::size_t j = 0; j < g; ++j) {
    const std::vector<std::uint32_t> members = of_rail(j);
    const ChunksAt of_node = [&](std::size_t node) {
      return std::vector<std::uint32_t>{members[node]};
    };
    if (scatters) {
      add_ring_scatter(moves, first, members, of_node);
    }
    if (gathers) {
      add_ring_gather(moves, scatters ? first + pass : first, members, of_node);
    }
  }
  if (gathers) {
    first += scatters ? 2 * pass : pass;
    for (const std::vector<Member>& node : placement.nodes) {
      add_ring_gather(moves, first, ranks_of(node), of_rail);
    }
  }
  return moves;
}

}  // namespace foretrain
