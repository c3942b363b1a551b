// In-switch reduction inside every node, double binary trees between them (NVLSTree of NCCL): each
// of the g local GPUs is responsible for 1/g of the payload and sends it through the trees on its
// own NIC. A port carries S (1 + 1/g) each way; a NIC 2 S/g (k-1)/k on average over k nodes.
//
// All of it is one pipeline, so port and NIC flows run at once and the slower of them ends it. What
// the trees load unevenly, the root least, is the same on every NIC here.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <utility>

#include "strategies/collective/double_tree.hpp"
#include "strategies/collective/in_switch.hpp"
#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {

std::optional<std::string> refuse_nvls_tree(const CollectiveRequest& request,
                                            const Machine& machine) {
  if (auto reason = refuse_uneven_nodes(request, machine)) {
    return reason;
  }
  const Placement placement = place(request, machine);
  if (placement.most_members < 2) {
    return "the group has one member per node, which leaves the switch nothing to add";
  }
  return refuse_switch(placement, machine);
}

FlowSchedule nvls_tree(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::nvls_tree, request.protocol};
  const auto g = static_cast<double>(placement.most_members);
  const auto k = static_cast<double>(placement.nodes.size());
  const auto levels = static_cast<double>(std::bit_width(placement.nodes.size()) - 1);
  const double inside = in_switch_share(request.payload, manner, placement, machine);
  const double between = rate_share(request.payload, manner, Reach::fabric, placement, machine) *
                         busiest_nic_share(placement.nodes.size());
  const Ports ports = ports_of(placement, machine);
  std::vector<LinkId> rails;
  for (std::size_t j = 0; j < placement.most_members; ++j) {
    append_ring(rail(placement, j), machine, rails);
  }
  const Bytes of_port = request.payload * (1 + 1 / g);
  const Bytes of_rail = request.payload * (2 / g * (k - 1) / k);
  FlowPhase phase{latency({1, 2 * levels}, manner, placement, machine), {}};
  phase.flows.push_back(lockstep(of_port, ports.up, inside, machine));
  phase.flows.push_back(lockstep(of_port, ports.down, inside, machine));
  phase.flows.push_back(lockstep(of_rail, std::move(rails), between, machine));
  return {{std::move(phase)}};
}

Moves nvls_tree_moves(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const std::size_t g = placement.most_members;
  const auto trees = double_binary_tree(placement.nodes.size());
  const auto n = static_cast<std::uint32_t>(placement.num_members);
  Moves moves = Moves::of(2 * g, 2 * g);  // two trees for each rail
  const ChunksAt of_rail = [](std::size_t j) {
    const auto chunk = static_cast<std::uint32_t>(2 * j);
    return std::vector<std::uint32_t>{chunk, chunk + 1};
  };
  const std::size_t trees_end = 2 + 2 * std::max(height_of(trees[0]), height_of(trees[1]));
  for (std::uint32_t node = 0; node < placement.nodes.size(); ++node) {
    add_switch_reduce(moves, 0, placement.nodes[node], n + node, of_rail);
    add_switch_spread(moves, trees_end, placement.nodes[node], n + node, of_rail);
  }
  for (std::size_t j = 0; j < g; ++j) {
    const std::vector<std::uint32_t> members = ranks_of(rail(placement, j));
    add_tree_passes(moves, 2, trees[0], members, of_rail(j)[0]);
    add_tree_passes(moves, 2, trees[1], members, of_rail(j)[1]);
  }
  return moves;
}

}  // namespace foretrain
