// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/latency.hpp"

namespace foretrain {
namespace {

const Interconnect& widest(Reach reach, const Cluster& cluster) {
  return reach == Reach::node ? cluster.node : cluster.fabric;
}

}  // namespace

Seconds latency(const StepCount& steps, Reach reach, const Cluster& cluster) {
  const Interconnect& node = cluster.node;
  const Interconnect& fabric = cluster.fabric;
  const Sourced<Seconds>& node_hop =
      reach == Reach::node ? node.hop_latency : fabric.node_hop_latency.value_or(node.hop_latency);
  const Seconds start = steps.starts ? widest(reach, cluster).collective_latency.value : Seconds(0);
  return start + steps.node_hops * node_hop.value + steps.fabric_hops * fabric.hop_latency.value;
}

double rate_share(Bytes payload, Reach reach, const Cluster& cluster) {
  return widest(reach, cluster).share_at(payload);
}

}  // namespace foretrain
