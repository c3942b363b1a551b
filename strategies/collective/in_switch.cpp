// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/in_switch.hpp"

#include <algorithm>

#include "sim/core/error.hpp"
#include "strategies/collective/latency.hpp"

namespace foretrain {
namespace {

std::vector<LinkId> route(const Member& from, const Member& to, const Machine& machine) {
  std::vector<LinkId> links;
  machine.append_route(from.device, to.device, links);
  return links;
}

std::vector<std::uint32_t> all_chunks(const std::vector<Member>& members, const ChunksAt& own) {
  std::vector<std::uint32_t> all;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::vector<std::uint32_t> chunks = own(i);
    all.insert(all.end(), chunks.begin(), chunks.end());
  }
  return all;
}

}  // namespace

std::optional<std::string> refuse_switch(const Placement& placement, const Machine& machine) {
  for (const std::vector<Member>& node : placement.nodes) {
    if (!machine.inside(machine.node_of(node.front().device)).in_switch_reduction) {
      return "platform '" + machine.cluster().name + "' has no node.in_switch_reduction";
    }
    const Gpu& gpu = machine.gpu_of(node.front().device);
    if (gpu.generation != GpuGeneration::hopper && gpu.generation != GpuGeneration::blackwell) {
      return "switches add up for GPUs from Hopper on, and '" + gpu.name +
             "' is older or another's";
    }
    if (node.size() > 1 && route(node[0], node[1], machine).size() != 2) {
      return "more than one switch is between two GPUs of a node";
    }
  }
  return std::nullopt;
}

Ports ports_of(const Placement& placement, const Machine& machine) {
  Ports ports;
  ports.up.reserve(placement.num_members);
  ports.down.reserve(placement.num_members);
  for (const std::vector<Member>& node : placement.nodes) {
    for (std::size_t i = 0; i < node.size(); ++i) {
      // Up to the switch and down to the next; every member is once at each end.
      const std::vector<LinkId> links = route(node[i], node[(i + 1) % node.size()], machine);
      FORETRAIN_ASSERT(links.size() == 2, "GPUs of a node are joined by one switch");
      ports.up.push_back(links.front());
      ports.down.push_back(links.back());
    }
  }
  return ports;
}

double in_switch_share(Bytes payload, const Manner& manner, const Placement& placement,
                       const Machine& machine) {
  double least = 1;
  for (const std::vector<Member>& node : placement.nodes) {
    const Interconnect& inside = machine.inside(machine.node_of(node.front().device));
    FORETRAIN_ASSERT(inside.in_switch_reduction.has_value(), "the switch cannot add up");
    least = std::min(least, inside.in_switch_reduction->value / inside.achieved.value);
  }
  return least * rate_share(payload, manner, Reach::node, placement, machine);
}

void add_switch_reduce(Moves& moves, std::size_t first, const std::vector<Member>& members,
                       std::uint32_t the_switch, const ChunksAt& own) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    moves.add(first, {members[i].rank, the_switch, all_chunks(members, own), true});
    moves.add(first + 1, {the_switch, members[i].rank, own(i), false});
  }
}

void add_switch_spread(Moves& moves, std::size_t first, const std::vector<Member>& members,
                       std::uint32_t the_switch, const ChunksAt& own) {
  for (std::size_t i = 0; i < members.size(); ++i) {
    moves.add(first, {members[i].rank, the_switch, own(i), false});
    moves.add(first + 1, {the_switch, members[i].rank, all_chunks(members, own), false});
  }
}

}  // namespace foretrain
