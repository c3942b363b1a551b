// Double binary trees over the nodes, a chain inside each (Tree of NCCL): an all-reduce whose
// latency grows with the logarithm of the number of nodes.
//
// Two trees carry half of the payload each, so that a node sends twice the payload, as in a ring of
// many members; the flows are those of the rings.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <map>

#include "strategies/collective/collective.hpp"

namespace foretrain {
namespace {

// Share of a ring's rate that a tree reaches. Measured: over EFA, all-reduces of 32 to 256 MiB on
// 16 and 32 nodes of p5.48xlarge (crazyguitar/aws-gpu-communication-benchmark) gain 110 to 190 GB/s
// with each doubling, where rings reach 365; four nodes at 94 GB/s (stas00/ml-engineering) give 0.5
// at 2 MiB and 0.7 at 4 MiB. With 0.45 the mean log error is 0.08 for 31 EFA and 0.08 for those 14
// rows; rings alone leave 0.26 and 0.25. NCCL's own table has 0.55 to 0.83 and is too quick on EFA.
constexpr double kTreeShare = 0.45;

/// Nodes of the group, and the members of the one that has most.
struct Spread {
  std::size_t nodes = 0;
  std::size_t most_members = 0;
};

Spread spread_of(const CollectiveRequest& request, const Machine& machine) {
  std::map<std::size_t, std::size_t> members;
  Spread spread;
  for (const DeviceId device : request.devices) {
    spread.most_members = std::max(spread.most_members, ++members[machine.node_of(device)]);
  }
  spread.nodes = members.size();
  return spread;
}

// NCCL's latency of a tree (tuning model of NCCL 2.30): up and down a chain inside the node and the
// levels of the tree between the nodes.
Seconds tree_latency(const Spread& spread, const Cluster& cluster) {
  const Interconnect& fabric = cluster.fabric;
  const Seconds node_hop = fabric.node_hop_latency.value_or(cluster.node.hop_latency).value;
  const auto chain = static_cast<double>(spread.most_members - 1);
  const auto levels = static_cast<double>(std::bit_width(spread.nodes) - 1);
  return fabric.collective_latency.value +
         2 * (chain * node_hop + levels * fabric.hop_latency.value);
}

}  // namespace

FlowSchedule tree(const CollectiveRequest& request, const Machine& machine) {
  FlowSchedule schedule = ring(request, machine);
  const Spread spread = spread_of(request, machine);
  if (request.kind != CollectiveKind::all_reduce || spread.nodes < 2) {
    return schedule;
  }
  FlowPhase& phase = schedule.phases.front();
  phase.latency = tree_latency(spread, machine.cluster());
  for (Flow& flow : phase.flows) {
    flow.bytes = request.payload * (2 / static_cast<double>(phase.flows.size()));
    flow.rate_limit *= kTreeShare;
  }
  return schedule;
}

}  // namespace foretrain
