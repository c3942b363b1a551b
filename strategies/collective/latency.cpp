// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/latency.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace foretrain {
namespace {

/// Latencies in us by protocol: LL, LL128, Simple.
using ByProtocol = std::array<double, 3>;

/// One algorithm of NCCL's tuning model: what it starts with, and what a step costs over NVLink,
/// over PCIe and over the network.
struct LatencyRow {
  ByProtocol base;
  ByProtocol nvlink;
  ByProtocol pcie;
  ByProtocol network;
};

// NCCL 2.30.7, graph/tuning.cc. The switch of NVLS counts as one hop; PAT pays 2.8 us per rank and
// a network hop of 14 us for 3.5 steps; sends and receives are not in the model: those of a ring
// that talks in Simple.
constexpr std::array<LatencyRow, 6> kLatencies = {{
    {{6.6, 14, 8.4}, {0.6, 1.9, 3.4}, {1.0, 2.5, 5.7}, {2.7, 4.0, 14}},
    {{6.8, 14, 8.4}, {0.6, 1.25, 4.0}, {1.0, 1.9, 4.0}, {5.0, 8.5, 14}},
    {{0, 0, 0}, {25, 25, 25}, {25, 25, 25}, {18, 18, 18}},
    {{0, 0, 0}, {25, 25, 25}, {25, 25, 25}, {20.9, 20.9, 20.9}},
    {{8, 8, 8}, {2.8, 2.8, 2.8}, {2.8, 2.8, 2.8}, {4.0, 4.0, 4.0}},
    {{8.4, 8.4, 8.4}, {3.4, 3.4, 3.4}, {5.7, 5.7, 5.7}, {14, 14, 14}},
}};

// LL moves no more than this in all, in GB/s: inside a node by generation (Ada counts as Ampere),
// between two nodes and between more (NCCL 2.30.7, for hosts that are not AMD). Nothing is known of
// AMD's GPUs.
constexpr std::array<double, 6> kLowLatencyInside = {
    39, 87.7, 87.7, 141, 282, std::numeric_limits<double>::infinity()};
constexpr double kLowLatencyTwoNodes = 39;
constexpr double kLowLatencyManyNodes = 20.4;

// LL spends half of a line on flags; NCCL reckons with 0.92 of the rate for trees. Between two
// nodes, where a tree is a pair, whole rates were measured (GH200 over Slingshot-11, 4 GiB: 90 of
// 100 GB/s, boeschf/nccl-benchmark-on-alps-2025).
constexpr double kLowLatencyShare = 0.5;
constexpr double kTreeShare = 0.92;

// Steps of an all-to-all's pipeline per node: all-to-alls of 32 MiB to 2 GiB on 16 to 256 GPUs over
// EFA (crazyguitar/aws-gpu-communication-benchmark).
constexpr double kMessageStepsPerNode = 0.085;

double at(const ByProtocol& values, Protocol protocol) {
  return values.at(static_cast<std::size_t>(protocol));
}

/// The kind of each node that has members.
std::vector<const Cluster*> kinds_of(const Placement& placement, const Machine& machine) {
  const std::vector<const Cluster*> kinds = machine.cluster().kinds();
  std::vector<const Cluster*> all;
  all.reserve(placement.nodes.size());
  for (const std::vector<Member>& node : placement.nodes) {
    all.push_back(kinds[machine.kind_of(machine.node_of(node.front().device))]);
  }
  return all;
}

/// What decides about the collective as a whole.
const Interconnect& widest(const Placement& placement, const Machine& machine) {
  return placement.spans_nodes() ? machine.cluster().fabric
                                 : kinds_of(placement, machine).front()->node;
}

double tabled_node_hop(const Manner& manner, const Cluster& kind) {
  const LatencyRow& row = kLatencies.at(static_cast<std::size_t>(manner.pattern));
  return at(kind.node_wiring->is_pcie() ? row.pcie : row.nvlink, manner.protocol);
}

Seconds tabled_latency(const StepCount& steps, const Manner& manner, const Placement& placement,
                       const Machine& machine) {
  const LatencyRow& row = kLatencies.at(static_cast<std::size_t>(manner.pattern));
  double inside = 0;
  for (const Cluster* kind : kinds_of(placement, machine)) {
    inside = std::max(inside, tabled_node_hop(manner, *kind));
  }
  return Seconds(1e-6) *
         ((steps.starts ? at(row.base, manner.protocol) : 0) + steps.node_hops * inside +
          steps.fabric_hops * at(row.network, manner.protocol));
}

// Of a node alone.
Seconds node_hop(const Manner& manner, const Cluster& kind) {
  if (kind.node.hop_latency) {
    return kind.node.hop_latency->value;
  }
  const double multiplier = kind.node.latency_multiplier ? kind.node.latency_multiplier->value : 1;
  return Seconds(1e-6) * (multiplier * tabled_node_hop(manner, kind));
}

Seconds hop_latencies(const StepCount& steps, const Manner& manner, const Placement& placement,
                      const Machine& machine) {
  const Interconnect& fabric = machine.cluster().fabric;
  Seconds inside(0);
  for (const Cluster* kind : kinds_of(placement, machine)) {
    inside = std::max(inside, node_hop(manner, *kind));
  }
  if (placement.spans_nodes() && fabric.node_hop_latency) {
    inside = fabric.node_hop_latency->value;
  }
  const Seconds between = fabric.hop_latency ? fabric.hop_latency->value : Seconds(0);
  return steps.node_hops * inside + steps.fabric_hops * between;
}

double low_latency_share(Reach level, const Placement& placement, const Machine& machine) {
  const Cluster& cluster = *kinds_of(placement, machine).front();
  const bool is_inside = level == Reach::node;
  const Interconnect& way = is_inside ? cluster.node : machine.cluster().fabric;
  const double links = is_inside ? 1 : static_cast<double>(cluster.nics_per_node);
  const double bus = (way.rate.value * way.achieved.value).value * 1e-9 * links;
  const double cap =
      is_inside ? kLowLatencyInside.at(static_cast<std::size_t>(cluster.gpu.generation))
                : (placement.nodes.size() == 2 ? kLowLatencyTwoNodes : kLowLatencyManyNodes);
  return std::min(kLowLatencyShare, cap / bus);
}

// How many steps a pipeline has to fill. Across nodes a ring's chunks are few and all of them move
// at once; what is inside the nodes waits with what is between them.
double steps_to_fill(Pattern pattern, const Placement& placement) {
  if (!placement.spans_nodes()) {
    return 1;
  }
  switch (pattern) {
    case Pattern::tree:
    case Pattern::nvls_tree:
      return static_cast<double>(std::bit_width(placement.nodes.size()) - 1);
    case Pattern::messages:
      return kMessageStepsPerNode * static_cast<double>(placement.nodes.size());
    default:
      return 0;
  }
}

double pipeline_share(Bytes payload, Pattern pattern, const Placement& placement,
                      const Machine& machine) {
  const std::optional<Sourced<Bytes>>& half = widest(placement, machine).half_rate_payload;
  if (!half || payload <= Bytes(0)) {
    return 1;
  }
  return 1 / (1 + std::sqrt(half->value * steps_to_fill(pattern, placement) / payload));
}

}  // namespace

std::string_view name_of(Protocol protocol) {
  constexpr std::array<std::string_view, 3> kNames = {"LL", "LL128", "Simple"};
  return kNames.at(static_cast<std::size_t>(protocol));
}

Seconds latency(const StepCount& steps, const Manner& manner, const Placement& placement,
                const Machine& machine) {
  const Interconnect& way = widest(placement, machine);
  const Seconds start = steps.starts ? way.collective_latency.value : Seconds(0);
  if (way.latency_multiplier) {
    return start +
           tabled_latency(steps, manner, placement, machine) * way.latency_multiplier->value;
  }
  return start + hop_latencies(steps, manner, placement, machine);
}

double rate_share(Bytes payload, const Manner& manner, Reach level, const Placement& placement,
                  const Machine& machine) {
  const bool is_tree = manner.pattern == Pattern::tree || manner.pattern == Pattern::nvls_tree;
  const double of_tree = is_tree && placement.nodes.size() > 2 ? kTreeShare : 1;
  if (manner.protocol == Protocol::ll) {
    return of_tree * low_latency_share(level, placement, machine);
  }
  const double of_protocol = manner.protocol == Protocol::ll128 ? kLl128Share : 1;
  return of_tree * of_protocol * pipeline_share(payload, manner.pattern, placement, machine);
}

}  // namespace foretrain
