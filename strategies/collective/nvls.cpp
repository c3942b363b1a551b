// Reduction inside the NVSwitch (NVLS, NVLink SHARP): every GPU sends its whole vector up, the
// switch adds, each GPU takes back the n-th part that is its own and sends it up once more for the
// switch to hand out.
//
// One flow over all ports one way: the switch adds only what has arrived from everybody.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "strategies/collective/in_switch.hpp"
#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

/// Payloads that a port carries to the switch and from it: S (1 + 1/n) each way for an all-reduce,
/// against 2 S (n-1)/n in a ring. Bus bandwidth is at most 2 (n-1)/(n+1) of the port's rate;
/// measured on 4 to 8 H200, 363, 414, 436, 460 and 473 GB/s (stas00/ml-engineering) are 0.67 to
/// 0.69 of that.
struct PortLoad {
  double up = 0;
  double down = 0;
};
PortLoad load_of(CollectiveKind kind, double n) {
  switch (kind) {
    case CollectiveKind::all_gather:
      return {1 / n, 1};
    case CollectiveKind::reduce_scatter:
      return {1, 1 / n};
    default:
      return {1 + 1 / n, 1 + 1 / n};
  }
}

}  // namespace

std::optional<std::string> refuse_nvls(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  if (placement.spans_nodes()) {
    return "the group spans " + std::to_string(placement.nodes.size()) +
           " nodes, but one switch has to reach all members";
  }
  return refuse_switch(placement, machine);
}

FlowSchedule nvls(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::nvls, request.protocol};
  const PortLoad load = load_of(request.kind, static_cast<double>(placement.num_members));
  const double share = in_switch_share(request.payload, manner, placement, machine);
  const Ports ports = ports_of(placement, machine);
  // NCCL's table has one latency for the switch, up and down.
  FlowPhase phase{latency({1, 0}, manner, placement, machine), {}};
  phase.flows.push_back(lockstep(request.payload * load.up, ports.up, share, machine));
  phase.flows.push_back(lockstep(request.payload * load.down, ports.down, share, machine));
  return {{std::move(phase)}};
}

Moves nvls_moves(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const auto n = static_cast<std::uint32_t>(placement.num_members);
  Moves moves = Moves::of(n, n);
  const std::vector<Member>& members = placement.nodes.front();
  const ChunksAt own = [&](std::size_t position) {
    return std::vector<std::uint32_t>{members[position].rank};
  };
  std::size_t step = 0;
  if (request.kind != CollectiveKind::all_gather) {
    add_switch_reduce(moves, step, members, n, own);
    step += 2;
  }
  if (request.kind != CollectiveKind::reduce_scatter) {
    add_switch_spread(moves, step, members, n, own);
  }
  return moves;
}

}  // namespace foretrain
