// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/placement.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

/// Where among the members of a node those behind the next NIC begin.
std::vector<std::size_t> first_behind_each_nic(const std::vector<Member>& members) {
  std::vector<std::size_t> firsts;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i == 0 || members[i].nic != members[i - 1].nic) {
      firsts.push_back(i);
    }
  }
  return firsts;
}

std::size_t num_rings(const Placement& placement) {
  std::size_t rings = first_behind_each_nic(placement.nodes.front()).size();
  for (const std::vector<Member>& members : placement.nodes) {
    rings = std::min(rings, first_behind_each_nic(members).size());
  }
  return rings;
}

/// A ring of a node, and how often it was chosen.
struct Choice {
  std::vector<Member> order;
  std::size_t uses = 0;
};

std::vector<Member> starting_at(const Member& first, std::vector<Member> order) {
  const auto at = std::find_if(order.begin(), order.end(),
                               [&](const Member& member) { return member.device == first.device; });
  std::rotate(order.begin(), at, order.end());
  return order;
}

// The least used of the rings that leave by a free NIC; if none does, the least used of all.
std::vector<Member> choose(const Member& first, std::vector<Choice>& choices,
                           std::set<std::size_t>& taken_exits) {
  FORETRAIN_ASSERT(!choices.empty(), "a node without rings");
  Choice* best = &choices.front();
  bool is_best_free = false;
  for (Choice& choice : choices) {
    const bool is_free = taken_exits.count(starting_at(first, choice.order).back().nic) == 0;
    if ((is_free && !is_best_free) || (is_free == is_best_free && choice.uses < best->uses)) {
      best = &choice;
      is_best_free = is_free;
    }
  }
  ++best->uses;
  std::vector<Member> order = starting_at(first, best->order);
  taken_exits.insert(order.back().nic);
  return order;
}

// The orders in which several rings go through one node.
std::vector<std::vector<Member>> orders_through(const std::vector<Member>& node, std::size_t rings,
                                                const Machine& machine) {
  std::vector<Choice> choices;
  for (RingWay& way : ring_ways(node, machine)) {
    choices.push_back({std::move(way.order), 0});
  }
  const std::vector<std::size_t> firsts = first_behind_each_nic(node);
  std::set<std::size_t> taken_exits;
  std::vector<std::vector<Member>> orders;
  orders.reserve(rings);
  for (std::size_t index = 0; index < rings; ++index) {
    orders.push_back(choose(node[firsts[index * firsts.size() / rings]], choices, taken_exits));
  }
  return orders;
}

std::string text(std::size_t number) { return std::to_string(number); }

}  // namespace

std::vector<Member> Placement::in_order() const {
  std::vector<Member> all;
  all.reserve(num_members);
  for (const std::vector<Member>& members : nodes) {
    all.insert(all.end(), members.begin(), members.end());
  }
  return all;
}

Placement place(const CollectiveRequest& request, const Machine& machine) {
  FORETRAIN_ASSERT(!request.devices.empty(), "a collective without members");
  std::vector<Member> members;
  members.reserve(request.devices.size());
  for (std::size_t rank = 0; rank < request.devices.size(); ++rank) {
    const DeviceId device = request.devices[rank];
    members.push_back({static_cast<std::uint32_t>(rank), device, machine.nic_of(device)});
  }
  std::sort(members.begin(), members.end(),
            [](const Member& a, const Member& b) { return a.device < b.device; });
  Placement placement;
  placement.num_members = members.size();
  std::size_t node = 0;
  for (const Member& member : members) {
    if (placement.nodes.empty() || machine.node_of(member.device) != node) {
      node = machine.node_of(member.device);
      placement.nodes.emplace_back();
    }
    placement.nodes.back().push_back(member);
  }
  placement.least_members = members.size();
  for (const std::vector<Member>& here : placement.nodes) {
    placement.most_members = std::max(placement.most_members, here.size());
    placement.least_members = std::min(placement.least_members, here.size());
  }
  return placement;
}

std::vector<RingWay> ring_ways(const std::vector<Member>& node, const Machine& machine) {
  std::vector<DeviceId> devices;
  devices.reserve(node.size());
  for (const Member& member : node) {
    devices.push_back(member.device);
  }
  std::vector<RingWay> ways;
  for (const RingOrder& ring : machine.rings(devices)) {
    RingWay way{{}, 1 / ring.share, ring.rate};
    way.order.reserve(node.size());
    for (const std::size_t gpu : ring.gpus) {
      way.order.push_back(*std::find_if(node.begin(), node.end(), [&](const Member& member) {
        return machine.local_index(member.device) == gpu;
      }));
    }
    ways.push_back(std::move(way));
  }
  return ways;
}

std::vector<RingWay> ring_ways(const Placement& placement, const Machine& machine) {
  if (!placement.spans_nodes()) {
    return ring_ways(placement.nodes.front(), machine);
  }
  const std::size_t rings = num_rings(placement);
  std::vector<RingWay> ways(rings, RingWay{{}, static_cast<double>(rings), BytesPerSecond(0)});
  for (RingWay& way : ways) {
    way.order.reserve(placement.num_members);
  }
  for (const std::vector<Member>& node : placement.nodes) {
    const std::vector<std::vector<Member>> orders = orders_through(node, rings, machine);
    for (std::size_t index = 0; index < rings; ++index) {
      std::vector<Member>& order = ways[index].order;
      order.insert(order.end(), orders[index].begin(), orders[index].end());
    }
  }
  return ways;
}

std::vector<Member> rail(const Placement& placement, std::size_t j) {
  std::vector<Member> members;
  members.reserve(placement.nodes.size());
  for (const std::vector<Member>& node : placement.nodes) {
    members.push_back(node.at(j));
  }
  return members;
}

std::vector<std::uint32_t> ranks_of(const std::vector<Member>& members) {
  std::vector<std::uint32_t> ranks;
  ranks.reserve(members.size());
  for (const Member& member : members) {
    ranks.push_back(member.rank);
  }
  return ranks;
}

std::optional<std::string> refuse_nothing(const CollectiveRequest&, const Machine&) {
  return std::nullopt;
}

std::optional<std::string> refuse_one_node(const CollectiveRequest& request,
                                           const Machine& machine) {
  if (!place(request, machine).spans_nodes()) {
    return "the group is within one node";
  }
  return std::nullopt;
}

std::optional<std::string> refuse_uneven_nodes(const CollectiveRequest& request,
                                               const Machine& machine) {
  const Placement placement = place(request, machine);
  if (!placement.spans_nodes()) {
    return "the group is within one node";
  }
  if (!placement.is_even()) {
    return "the group has " + text(placement.least_members) + " members on one node and " +
           text(placement.most_members) + " on another";
  }
  return std::nullopt;
}

}  // namespace foretrain
