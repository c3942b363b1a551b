// Double binary trees over the nodes, a chain inside each (Tree of NCCL): an all-reduce whose
// latency grows with the logarithm of the number of nodes.
//
// Two trees carry half of the payload each, so that a node sends twice the payload, as in a ring of
// many members. The flows are those of the rings, the same bytes over every link: of k nodes the
// trees load NICs with (k-1)/k of them on average, the roots least; told apart, hardly two ranks of
// a job would be alike.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <utility>

#include "strategies/collective/double_tree.hpp"
#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

// Share of a ring's rate that a tree reaches. Measured: over EFA, all-reduces of 32 to 256 MiB on
// 16 and 32 nodes of p5.48xlarge (crazyguitar/aws-gpu-communication-benchmark) gain 110 to 190 GB/s
// with each doubling, where rings reach 365; four nodes at 94 GB/s (stas00/ml-engineering) give 0.5
// at 2 MiB and 0.7 at 4 MiB. With 0.45 the mean log error is 0.08 for 31 EFA and 0.08 for those 14
// rows; rings alone leave 0.26 and 0.25. NCCL's own table has 0.55 to 0.83 and is too quick on EFA.
constexpr double kTreeShare = 0.45;

// NCCL's latency of a tree (tuning model of NCCL 2.30): up and down a chain inside the node and the
// levels of the tree between the nodes.
StepCount tree_steps(const Placement& placement) {
  const auto chain = static_cast<double>(placement.most_members - 1);
  const auto levels = static_cast<double>(std::bit_width(placement.nodes.size()) - 1);
  return {2 * chain, 2 * levels};
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

}  // namespace

FlowSchedule tree(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const std::vector<RingWay> ways = ring_ways(placement, machine);
  const double share = rate_share(request.payload, Reach::fabric, placement, machine);
  FlowPhase phase{latency(tree_steps(placement), placement, machine), {}};
  for (const RingWay& way : ways) {
    Flow flow;
    flow.bytes = request.payload * (2 / way.parts);
    append_ring(way.order, machine, flow.links);
    flow.rate_limit = slowest(flow.links, machine) * share * kTreeShare;
    phase.flows.push_back(std::move(flow));
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
