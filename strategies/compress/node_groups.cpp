// SPDX-License-Identifier: Apache-2.0
#include "strategies/compress/node_groups.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "sim/core/error.hpp"
#include "strategies/lower.hpp"
#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

using Members = std::vector<Rank>;

/// The members node by node, in order.
std::map<std::size_t, Members> by_node(const Members& members, std::size_t gpus_per_node) {
  std::map<std::size_t, Members> nodes;
  for (const Rank rank : members) {
    nodes[rank.index() / gpus_per_node].push_back(rank);
  }
  return nodes;
}

GroupShape shape_of(const Members& members, std::size_t gpus_per_node) {
  const auto nodes = by_node(members, gpus_per_node);
  const std::size_t first = nodes.begin()->second.size();
  const bool is_even = std::all_of(nodes.begin(), nodes.end(), [first](const auto& node) {
    return node.second.size() == first;
  });
  return {members.size(), is_even ? first : 0};
}

/// Splits the groups of a program as they are asked for.
class Splitter {
 public:
  Splitter(std::size_t gpus_per_node, Program& program)
      : gpus_per_node_(gpus_per_node), program_(program) {}

  GroupId inside(GroupId whole, Rank rank) {
    const std::size_t node = rank.index() / gpus_per_node_;
    return group(whole, GroupPart::inside, node, nodes_of(whole).at(node));
  }

  GroupId across(GroupId whole, Rank rank) {
    const auto& nodes = nodes_of(whole);
    const Members& own = nodes.at(rank.index() / gpus_per_node_);
    const auto place =
        static_cast<std::size_t>(std::find(own.begin(), own.end(), rank) - own.begin());
    Members members;
    for (const auto& [node, there] : nodes) {
      FORETRAIN_ASSERT(there.size() == own.size(), "a group that is uneven on its nodes");
      members.push_back(there[place]);
    }
    return group(whole, GroupPart::across, place, std::move(members));
  }

 private:
  using Key = std::tuple<GroupId, GroupPart, std::size_t>;

  const std::map<std::size_t, Members>& nodes_of(GroupId whole) {
    const auto [place, is_new] = nodes_.try_emplace(whole);
    if (is_new) {
      place->second = by_node(program_.groups[whole.index()].members, gpus_per_node_);
    }
    return place->second;
  }

  GroupId group(GroupId whole, GroupPart part, std::size_t number, Members members) {
    const auto [place, is_new] =
        groups_.try_emplace({whole, part, number}, GroupId(program_.groups.size()));
    if (is_new) {
      const NameId axis = program_.groups[whole.index()].axis;
      program_.groups.push_back({axis, std::move(members)});
    }
    return place->second;
  }

  std::size_t gpus_per_node_;
  Program& program_;
  std::map<GroupId, std::map<std::size_t, Members>> nodes_;
  std::map<Key, GroupId> groups_;
};

// Slots beyond those that lowering fills.
std::set<std::uint32_t> split_slots(const Body& body) {
  std::set<std::uint32_t> slots;
  for (const Stream& stream : body.streams) {
    for (const Op& op : stream.ops) {
      const auto* collective = std::get_if<Collective>(&op.action);
      if (collective != nullptr && collective->communicator >= kNumGroupSlots) {
        slots.insert(collective->communicator);
      }
    }
  }
  return slots;
}

}  // namespace

GroupShape group_shape(const Run& run, std::uint32_t slot) {
  const auto gpus_per_node = static_cast<std::size_t>(run.cluster.gpus_per_node);
  const Program program = lay_out(run);
  std::optional<GroupShape> common;
  std::set<GroupId> seen;
  for (const RankBinding& binding : program.ranks) {
    const GroupId group = binding.communicators[slot];
    if (!seen.insert(group).second) {
      continue;
    }
    const GroupShape shape = shape_of(program.groups[group.index()].members, gpus_per_node);
    if (!common) {
      common = shape;
    } else if (common->members != shape.members || common->per_node != shape.per_node) {
      common->per_node = 0;
    }
  }
  return common.value_or(GroupShape{});
}

bool stages_share_nodes(const Run& run) {
  const auto gpus_per_node = static_cast<std::size_t>(run.cluster.gpus_per_node);
  const Program program = lay_out(run);
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    const Rank next = program.ranks[rank].peers[kNextStage];
    if (next.index() / gpus_per_node == rank / gpus_per_node) {
      return true;
    }
  }
  return false;
}

void add_node_groups(std::size_t gpus_per_node, Program& program) {
  std::vector<std::set<std::uint32_t>> slots;
  slots.reserve(program.bodies.size());
  for (const Body& body : program.bodies) {
    slots.push_back(split_slots(body));
  }
  Splitter splitter(gpus_per_node, program);
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    RankBinding& binding = program.ranks[rank];
    for (const std::uint32_t slot : slots[binding.body.index()]) {
      const std::uint32_t whole = (slot - static_cast<std::uint32_t>(kNumGroupSlots)) / 2;
      if (binding.communicators.size() <= slot) {
        binding.communicators.resize(slot + 1, binding.communicators[kTensorGroup]);
      }
      const GroupId group = binding.communicators[whole];
      binding.communicators[slot] = slot == slot_of(GroupPart::inside, whole)
                                        ? splitter.inside(group, Rank(rank))
                                        : splitter.across(group, Rank(rank));
    }
  }
}

}  // namespace foretrain
