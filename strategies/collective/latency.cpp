// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/latency.hpp"

#include <algorithm>

namespace foretrain {
namespace {

/// What joins the GPUs of each node that has members.
std::vector<const Interconnect*> insides(const Placement& placement, const Machine& machine) {
  std::vector<const Interconnect*> all;
  all.reserve(placement.nodes.size());
  for (const std::vector<Member>& node : placement.nodes) {
    all.push_back(&machine.inside(machine.node_of(node.front().device)));
  }
  return all;
}

Seconds node_hop(const Placement& placement, const Machine& machine) {
  const Interconnect& fabric = machine.cluster().fabric;
  if (placement.spans_nodes() && fabric.node_hop_latency) {
    return fabric.node_hop_latency->value;
  }
  Seconds longest(0);
  for (const Interconnect* inside : insides(placement, machine)) {
    longest = std::max(longest, inside->hop_latency.value);
  }
  return longest;
}

}  // namespace

Seconds latency(const StepCount& steps, const Placement& placement, const Machine& machine) {
  const Interconnect& fabric = machine.cluster().fabric;
  const Interconnect& widest =
      placement.spans_nodes() ? fabric : *insides(placement, machine).front();
  const Seconds start = steps.starts ? widest.collective_latency.value : Seconds(0);
  return start + steps.node_hops * node_hop(placement, machine) +
         steps.fabric_hops * fabric.hop_latency.value;
}

double rate_share(Bytes payload, Reach level, const Placement& placement, const Machine& machine) {
  if (level == Reach::fabric) {
    return machine.cluster().fabric.share_at(payload);
  }
  double least = 1;
  for (const Interconnect* inside : insides(placement, machine)) {
    least = std::min(least, inside->share_at(payload));
  }
  return least;
}

}  // namespace foretrain
