// Double binary trees over the nodes, a chain inside each (Tree of NCCL): an all-reduce whose
// latency grows with the logarithm of the number of nodes.
//
// Two trees carry half of the payload each, so that an inner node sends twice the payload, as in a
// ring of many members; between two nodes it goes once each way. The flows are those of the rings,
// the same bytes over every link of a kind: the trees load the roots' NICs less than others; told
// apart, hardly two ranks of a job would be alike.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <utility>

#include "strategies/collective/double_tree.hpp"
#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

// NCCL's latency of a tree (tuning model of NCCL 2.30): up and down a chain inside the node and the
// levels of the tree between the nodes.
StepCount tree_steps(const Placement& placement) {
  const auto chain = static_cast<double>(placement.most_members - 1);
  const auto levels = static_cast<double>(std::bit_width(placement.nodes.size()) - 1);
  return {2 * chain, 2 * levels};
}

/// Links of a way round all members: of its chains inside the nodes, both ways, and from node to
/// node.
struct Edges {
  std::vector<LinkId> inside;
  std::vector<LinkId> between;
};
Edges edges_of(const std::vector<Member>& order, const Machine& machine) {
  Edges edges;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const DeviceId from = order[i].device;
    const DeviceId to = order[(i + 1) % order.size()].device;
    if (machine.node_of(from) != machine.node_of(to)) {
      machine.append_route(from, to, edges.between);
      continue;
    }
    machine.append_route(from, to, edges.inside);
    machine.append_route(to, from, edges.inside);
  }
  return edges;
}

// One tree over the heads of the chains; sums come in along each chain, results go out.
void add_tree(Moves& moves, const std::vector<std::vector<std::uint32_t>>& chains,
              const TreeParents& parents, std::size_t longest, std::uint32_t chunk) {
  std::vector<std::uint32_t> heads;
  heads.reserve(chains.size());
  const std::size_t trees_end = longest - 1 + 2 * height_of(parents);
  for (const std::vector<std::uint32_t>& chain : chains) {
    heads.push_back(chain.front());
    for (std::size_t i = 1; i < chain.size(); ++i) {
      moves.add(longest - 1 - i, {chain[i], chain[i - 1], {chunk}, true});
      moves.add(trees_end + i - 1, {chain[i - 1], chain[i], {chunk}, false});
    }
  }
  add_tree_passes(moves, longest - 1, parents, heads, chunk);
}

/// A ring's way through each node.
std::vector<std::vector<std::uint32_t>> chains_of(const std::vector<Member>& order,
                                                  const Placement& placement) {
  const std::vector<std::uint32_t> ranks = ranks_of(order);
  std::vector<std::vector<std::uint32_t>> chains;
  chains.reserve(placement.nodes.size());
  auto next = ranks.begin();
  for (const std::vector<Member>& node : placement.nodes) {
    const auto end = next + static_cast<std::ptrdiff_t>(node.size());
    chains.emplace_back(next, end);
    next = end;
  }
  return chains;
}

// Two nodes that are a tree of a root and a leaf send the payload once each way, where NCCL builds
// such trees wide: from Hopper on (8 GH200 over Slingshot-11 reduce 90 of 100 GB/s, boeschf/
// nccl-benchmark-on-alps-2025). On two nodes of A100 with 4 x 25 GB/s it shows 86 GB/s of bus
// bandwidth, a ring's (NVIDIA/nccl issue 1048): its table caps trees of Ampere at 23.6 GB/s for
// both ways of a channel.
double share_of_pair(const Placement& placement, const Machine& machine) {
  const GpuGeneration generation =
      machine.gpu_of(placement.nodes.front().front().device).generation;
  const bool is_wide =
      generation == GpuGeneration::hopper || generation == GpuGeneration::blackwell;
  return placement.nodes.size() > 2 || is_wide ? 1 : 0.5;
}

}  // namespace

// A chain hands everything on towards the tree and back, so a GPU in its middle sends the payload
// twice, once to each side. All ways share the ports. NICs carry 2 (k-1)/k payloads.
FlowSchedule tree(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::tree, request.protocol};
  const std::vector<RingWay> ways = ring_ways(placement, machine);
  const auto num_ways = static_cast<double>(ways.size());
  const auto k = static_cast<double>(placement.nodes.size());
  const double share = rate_share(request.payload, manner, Reach::fabric, placement, machine);
  FlowPhase phase{latency(tree_steps(placement), manner, placement, machine), {}};
  for (const RingWay& way : ways) {
    Edges edges = edges_of(way.order, machine);
    if (!edges.inside.empty()) {
      phase.flows.push_back(lockstep(request.payload / way.parts, std::move(edges.inside),
                                     share / num_ways, machine));
    }
    const BytesPerSecond rate =
        slowest(edges.between, machine) *
        (share * busiest_nic_share(placement.nodes.size()) * share_of_pair(placement, machine));
    phase.flows.push_back(
        {request.payload * (2 * (k - 1) / k / way.parts), std::move(edges.between), rate});
  }
  return {{std::move(phase)}};
}

Moves tree_moves(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const std::vector<RingWay> ways = ring_ways(placement, machine);
  const auto trees = double_binary_tree(placement.nodes.size());
  Moves moves = Moves::of(2 * ways.size(), 2 * ways.size());
  std::uint32_t chunk = 0;
  for (const RingWay& way : ways) {
    const std::vector<std::vector<std::uint32_t>> chains = chains_of(way.order, placement);
    for (const TreeParents& parents : trees) {
      add_tree(moves, chains, parents, placement.most_members, chunk++);
    }
  }
  return moves;
}

}  // namespace foretrain
