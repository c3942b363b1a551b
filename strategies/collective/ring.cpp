// Rings (Patarasuk and Yuan 2009, as NCCL builds them): chunks go round n-1 times, twice for an
// all-reduce. Across nodes, one ring per NIC that the group can use, each leaving a node from
// another of its GPUs.
//
// A ring is one flow over the links of all its edges: its chunks move in lockstep, so the slowest
// edge sets the rate of all.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "sim/core/error.hpp"
#include "strategies/collective/collective.hpp"

namespace foretrain {
namespace {

/// Members by node, those behind the same NIC next to one another.
using ByNode = std::map<std::size_t, std::vector<DeviceId>>;

ByNode by_node(const CollectiveRequest& request, const Machine& machine) {
  ByNode nodes;
  for (const DeviceId device : request.devices) {
    nodes[machine.node_of(device)].push_back(device);
  }
  for (auto& [node, members] : nodes) {
    std::sort(members.begin(), members.end());
  }
  return nodes;
}

/// Where among the members of a node those behind the next NIC begin.
std::vector<std::size_t> first_behind_each_nic(const std::vector<DeviceId>& members,
                                               const Machine& machine) {
  std::vector<std::size_t> firsts;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i == 0 || machine.nic_of(members[i]) != machine.nic_of(members[i - 1])) {
      firsts.push_back(i);
    }
  }
  return firsts;
}

// As many rings as the node with the fewest members on different NICs allows; one inside a node,
// where all GPUs reach all others through their own port.
std::size_t num_rings(const ByNode& nodes, const Machine& machine) {
  if (nodes.size() == 1) {
    return 1;
  }
  std::size_t rings = static_cast<std::size_t>(machine.cluster().nics_per_node);
  for (const auto& [node, members] : nodes) {
    rings = std::min(rings, first_behind_each_nic(members, machine).size());
  }
  return rings;
}

// Ring `index` goes round the members of each node starting behind another NIC, so it enters the
// node through that one and leaves through the one before: no two rings share a NIC one way.
std::vector<LinkId> ring_links(const ByNode& nodes, std::size_t index, std::size_t num_rings,
                               const Machine& machine) {
  std::vector<DeviceId> order;
  for (const auto& [node, members] : nodes) {
    const std::vector<std::size_t> firsts = first_behind_each_nic(members, machine);
    const std::size_t first = firsts[index * firsts.size() / num_rings];
    for (std::size_t i = 0; i < members.size(); ++i) {
      order.push_back(members[(first + i) % members.size()]);
    }
  }
  std::vector<LinkId> links;
  for (std::size_t i = 0; i < order.size(); ++i) {
    machine.append_route(order[i], order[(i + 1) % order.size()], links);
  }
  return links;
}

// NCCL's latency of a ring (tuning model of NCCL 2.30): every step costs a hop inside the node, but
// as many as there are nodes cross the network, once per pass. A network hop for every step fits
// the all-gathers over EFA as well (22 rows, mean log error 0.08), but puts 2.1 times the measured
// time on all-reduces of four nodes at 94 GB/s (stas00/ml-engineering): this form 1.3 times, 1.1
// with trees.
Seconds ring_latency(const CollectiveRequest& request, std::size_t num_nodes,
                     const Machine& machine) {
  const double passes = request.kind == CollectiveKind::all_reduce ? 2 : 1;
  const double steps = passes * static_cast<double>(request.devices.size() - 1);
  const double network_steps = num_nodes == 1 ? 0 : passes * static_cast<double>(num_nodes - 1);
  const Interconnect& node = machine.cluster().node;
  const Interconnect& fabric = machine.cluster().fabric;
  const Interconnect& widest = num_nodes == 1 ? node : fabric;
  const Sourced<Seconds>& node_hop =
      num_nodes == 1 ? node.hop_latency : fabric.node_hop_latency.value_or(node.hop_latency);
  return widest.collective_latency.value + (steps - network_steps) * node_hop.value +
         network_steps * fabric.hop_latency.value;
}

BytesPerSecond slowest(const std::vector<LinkId>& links, const Network& network) {
  BytesPerSecond rate = network.links[links.front().index()].capacity;
  for (const LinkId link : links) {
    rate = std::min(rate, network.links[link.index()].capacity);
  }
  return rate;
}

}  // namespace

Bytes ring_bytes(CollectiveKind kind, Bytes payload, std::size_t num_ranks) {
  const double n = static_cast<double>(num_ranks);
  return payload * ((n - 1) / n) * (kind == CollectiveKind::all_reduce ? 2 : 1);
}

FlowSchedule ring(const CollectiveRequest& request, const Machine& machine) {
  FORETRAIN_ASSERT(!request.devices.empty(), "a collective without members");
  if (request.devices.size() == 1) {
    return {};
  }
  const ByNode nodes = by_node(request, machine);
  const std::size_t rings = num_rings(nodes, machine);
  const Interconnect& widest =
      nodes.size() == 1 ? machine.cluster().node : machine.cluster().fabric;
  FlowPhase phase{ring_latency(request, nodes.size(), machine), {}};
  for (std::size_t index = 0; index < rings; ++index) {
    Flow flow;
    flow.bytes = ring_bytes(request.kind, request.payload, request.devices.size()) /
                 static_cast<double>(rings);
    flow.links = ring_links(nodes, index, rings, machine);
    flow.rate_limit = slowest(flow.links, machine.network()) * widest.share_at(request.payload);
    phase.flows.push_back(std::move(flow));
  }
  return {{std::move(phase)}};
}

}  // namespace foretrain
