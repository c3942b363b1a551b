// Rings (Patarasuk and Yuan 2009, as NCCL builds them): chunks go round n-1 times, twice for an
// all-reduce. Across nodes, one ring per NIC that the group can use, each leaving a node from
// another of its GPUs. A broadcast is a pipeline along each ring that stops before the root, a
// reduction one that starts behind it.
//
// A ring is one flow over the links of all its edges: its chunks move in lockstep, so the slowest
// edge sets the rate of all.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

bool is_rooted(CollectiveKind kind) {
  return kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce;
}

// NCCL's latency of a ring (tuning model of NCCL 2.30): every step costs a hop inside the node, but
// as many as there are nodes cross the network, once per pass. A network hop for every step fits
// the all-gathers over EFA as well (22 rows, mean log error 0.08), but puts 2.1 times the measured
// time on all-reduces of four nodes at 94 GB/s (stas00/ml-engineering): this form 1.3 times, 1.1
// with trees. A pipeline from or to a root has to fill: as many steps as a pass.
StepCount ring_steps(CollectiveKind kind, const Placement& placement) {
  const double passes = kind == CollectiveKind::all_reduce ? 2 : 1;
  const double steps = passes * static_cast<double>(placement.num_members - 1);
  const double network_steps = passes * static_cast<double>(placement.nodes.size() - 1);
  return {steps - network_steps, network_steps};
}

// The ring as an open chain that starts at the root, or ends there.
std::vector<Member> chain_of(CollectiveKind kind, std::vector<Member> order) {
  auto root = std::find_if(order.begin(), order.end(), [](const Member& m) { return m.rank == 0; });
  std::rotate(order.begin(), kind == CollectiveKind::reduce ? root + 1 : root, order.end());
  return order;
}

void add_chain(Moves& moves, CollectiveKind kind, std::uint32_t chunk,
               const std::vector<Member>& order) {
  const std::vector<std::uint32_t> chain = ranks_of(chain_of(kind, order));
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    moves.add(i, {chain[i], chain[i + 1], {chunk}, kind == CollectiveKind::reduce});
  }
}

}  // namespace

double bus_factor(CollectiveKind kind, std::size_t num_ranks) {
  const double n = static_cast<double>(num_ranks);
  return is_rooted(kind) ? 1 : ((n - 1) / n) * (kind == CollectiveKind::all_reduce ? 2 : 1);
}

Bytes ring_bytes(CollectiveKind kind, Bytes payload, std::size_t num_ranks) {
  return payload * bus_factor(kind, num_ranks);
}

FlowSchedule ring(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::ring, request.protocol};
  if (placement.num_members == 1) {
    return {};
  }
  const Reach reach = placement.reach();
  const double share = rate_share(request.payload, manner, reach, placement, machine);
  FlowPhase phase{latency(ring_steps(request.kind, placement), manner, placement, machine), {}};
  for (const RingWay& way : ring_ways(placement, machine)) {
    Flow flow;
    flow.bytes = ring_bytes(request.kind, request.payload, placement.num_members) / way.parts;
    if (is_rooted(request.kind)) {
      append_chain(chain_of(request.kind, way.order), machine, flow.links);
    } else {
      append_ring(way.order, machine, flow.links);
    }
    const bool has_rate = way.rate > BytesPerSecond(0);
    flow.rate_limit = (has_rate ? way.rate : slowest(flow.links, machine)) * share;
    phase.flows.push_back(std::move(flow));
  }
  return {{std::move(phase)}};
}

Moves ring_moves(const CollectiveRequest& request, const Machine& machine) {
  const std::vector<RingWay> ways = ring_ways(place(request, machine), machine);
  const std::size_t n = request.devices.size();
  const std::size_t per_ring = is_rooted(request.kind) ? 1 : n;
  Moves moves = Moves::of(per_ring * ways.size(), 1);
  for (std::size_t chunk = 0; chunk < moves.num_chunks(); ++chunk) {
    moves.shares[chunk] = 1 / ways[chunk % ways.size()].parts / static_cast<double>(per_ring);
  }
  for (std::size_t index = 0; index < ways.size(); ++index) {
    if (is_rooted(request.kind)) {
      add_chain(moves, request.kind, static_cast<std::uint32_t>(index), ways[index].order);
      continue;
    }
    const std::vector<std::uint32_t> order = ranks_of(ways[index].order);
    const ChunksAt chunk_at = [&](std::size_t position) {
      return std::vector<std::uint32_t>{
          static_cast<std::uint32_t>(order[position] * ways.size() + index)};
    };
    const bool scatters = request.kind != CollectiveKind::all_gather;
    if (scatters) {
      add_ring_scatter(moves, 0, order, chunk_at);
    }
    if (request.kind != CollectiveKind::reduce_scatter) {
      add_ring_gather(moves, scatters ? n - 1 : 0, order, chunk_at);
    }
  }
  return moves;
}

}  // namespace foretrain
