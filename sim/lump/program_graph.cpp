// SPDX-License-Identifier: Apache-2.0
// What two nodes of one colour have in common, and what their edges say:
//   rank      body and kind of device; joined to its groups (label: slot) and channels (label: slot
//             and direction)
//   group     axis, questions and latencies; joined to its members and its routes
//   channel   likewise, for the messages from one rank to another
//   route     the transfers that take it: instance, phase, bytes, rate limit; joined to its links
//             (label: how often it names the link)
//   link      capacity
#include "sim/lump/program_graph.hpp"

#include <algorithm>
#include <bit>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

enum NodeKind : std::uint64_t { kRank, kGroup, kChannel, kRoute, kLink };

template <class T>
void add_once(std::vector<T>& list, const T& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) {
    list.push_back(item);
  }
}

template <class List>
void reach(List& list, std::size_t index) {
  if (list.size() <= index) {
    list.resize(index + 1);
  }
}

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

}  // namespace

SlotUse slots_used(const Body& body) {
  SlotUse use;
  for (const Stream& stream : body.streams) {
    for (const Op& op : stream.ops) {
      if (const auto* collective = std::get_if<Collective>(&op.action)) {
        reach(use.collectives, collective->communicator);
        add_once(use.collectives[collective->communicator],
                 {collective->kind, collective->payload});
      } else if (const auto* send = std::get_if<Send>(&op.action)) {
        reach(use.sends, send->peer);
        add_once(use.sends[send->peer], send->payload);
        reach(use.is_peer_used, send->peer);
        use.is_peer_used[send->peer] = true;
      } else if (const auto* recv = std::get_if<Recv>(&op.action)) {
        reach(use.is_peer_used, recv->peer);
        use.is_peer_used[recv->peer] = true;
      }
    }
  }
  use.sends.resize(use.is_peer_used.size());
  return use;
}

ProgramGraph::ProgramGraph(const Program& program, const CostModel& costs)
    : program_(program), costs_(costs), links_(costs.network().links.size()) {
  for (const Body& body : program.bodies) {
    uses_.push_back(slots_used(body));
  }
  add_ranks();
  add_groups();
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    join_groups(Rank(rank));
    add_channels(Rank(rank));
  }
}

std::size_t ProgramGraph::first_slot_of_group(Rank rank, std::size_t slot) const {
  const std::vector<GroupId>& groups = program_.ranks[rank.index()].communicators;
  const SlotUse& use = use_of(rank);
  std::size_t first = 0;
  while (first < slot && (use.collectives[first].empty() || groups[first] != groups[slot])) {
    ++first;
  }
  return first;
}

std::optional<std::size_t> ProgramGraph::first_slot_of_peer(Rank rank, Rank peer) const {
  const std::vector<Rank>& peers = program_.ranks[rank.index()].peers;
  const SlotUse& use = use_of(rank);
  for (std::size_t slot = 0; slot < use.is_peer_used.size(); ++slot) {
    if (use.is_peer_used[slot] && peers[slot] == peer) {
      return slot;
    }
  }
  return std::nullopt;
}

void ProgramGraph::add_ranks() {
  for (const RankBinding& binding : program_.ranks) {
    rank_nodes_.push_back(
        graph_.add_node({kRank, binding.body.value, costs_.device_kind(binding.device)}));
  }
}

// All members issue the same collectives, so the first one speaks for all.
void ProgramGraph::add_groups() {
  groups_.resize(program_.groups.size());
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    Communication asked = ask_group(program_.groups[group].members.front(), GroupId(group));
    if (!asked.instances.empty()) {
      add_nodes(kGroup, program_.groups[group].axis.value, asked);
      groups_[group] = std::move(asked);
    }
  }
}

Communication ProgramGraph::ask_group(Rank front, GroupId group) {
  std::vector<SlotUse::Question> questions;
  const SlotUse& use = use_of(front);
  for (std::size_t slot = 0; slot < use.collectives.size(); ++slot) {
    if (program_.ranks[front.index()].communicators[slot] == group) {
      for (const SlotUse::Question& question : use.collectives[slot]) {
        add_once(questions, question);
      }
    }
  }
  Communication asked;
  for (const SlotUse::Question& question : questions) {
    add_schedule({question.kind, question.payload, {}},
                 costs_.collective_of(program_, group, question.kind, question.payload), asked);
  }
  return asked;
}

void ProgramGraph::join_groups(Rank rank) {
  const SlotUse& use = use_of(rank);
  for (std::size_t slot = 0; slot < use.collectives.size(); ++slot) {
    if (!use.collectives[slot].empty() && first_slot_of_group(rank, slot) == slot) {
      const GroupId group = program_.ranks[rank.index()].communicators[slot];
      FORETRAIN_ASSERT(groups_[group.index()].has_value(),
                       "a rank is alone with its collectives on a group");
      graph_.join(rank_nodes_[rank.index()], groups_[group.index()]->node, slot);
    }
  }
}

void ProgramGraph::add_channels(Rank rank) {
  const SlotUse& use = use_of(rank);
  for (std::size_t slot = 0; slot < use.sends.size(); ++slot) {
    const Rank peer = use.is_peer_used[slot] ? program_.ranks[rank.index()].peers[slot] : rank;
    if (!use.is_peer_used[slot] || first_slot_of_peer(rank, peer) != slot) {
      continue;
    }
    Communication asked = ask_channel(rank, peer);
    const auto receive_slot = first_slot_of_peer(peer, rank);
    if (asked.instances.empty() || !receive_slot) {
      continue;
    }
    add_nodes(kChannel, 0, asked);
    graph_.join(rank_nodes_[rank.index()], asked.node, 2 * slot);
    graph_.join(rank_nodes_[peer.index()], asked.node, 2 * *receive_slot + 1);
    channels_.push_back({rank, peer, static_cast<std::uint32_t>(slot),
                         static_cast<std::uint32_t>(*receive_slot), std::move(asked)});
  }
}

// Channel numbers keep messages of a pair apart, and say nothing of how they travel.
Communication ProgramGraph::ask_channel(Rank from, Rank to) {
  std::vector<Bytes> payloads;
  const SlotUse& use = use_of(from);
  for (std::size_t slot = 0; slot < use.sends.size(); ++slot) {
    if (use.is_peer_used[slot] && program_.ranks[from.index()].peers[slot] == to) {
      for (const Bytes payload : use.sends[slot]) {
        add_once(payloads, payload);
      }
    }
  }
  Communication asked;
  for (const Bytes payload : payloads) {
    add_schedule({{}, payload, {}}, costs_.message_of(program_, from, to, 0, payload), asked);
  }
  return asked;
}

// Most instances of a communication take the same routes with other bytes: one node for all of
// them.
void ProgramGraph::add_schedule(Instance instance, const FlowSchedule& schedule,
                                Communication& into) {
  const auto number = static_cast<std::uint32_t>(into.instances.size());
  for (std::uint32_t phase = 0; phase < schedule.phases.size(); ++phase) {
    instance.latencies.push_back(schedule.phases[phase].latency);
    for (const Flow& flow : schedule.phases[phase].flows) {
      auto known = std::find_if(into.routes.begin(), into.routes.end(),
                                [&](const RouteNode& route) { return route.links == flow.links; });
      if (known == into.routes.end()) {
        known = into.routes.insert(known, RouteNode{{}, flow.links, {}});
      }
      known->uses.push_back({number, phase, flow.bytes, flow.rate_limit});
    }
  }
  into.instances.push_back(std::move(instance));
}

void ProgramGraph::add_nodes(std::uint64_t kind, std::uint64_t name, Communication& communication) {
  std::vector<std::uint64_t> colour = {kind, name};
  for (const Instance& instance : communication.instances) {
    colour.insert(colour.end(), {static_cast<std::uint64_t>(instance.kind),
                                 bits(instance.payload.value), instance.latencies.size()});
    for (const Seconds latency : instance.latencies) {
      colour.push_back(bits(latency.value));
    }
  }
  communication.node = graph_.add_node(colour);
  for (RouteNode& route : communication.routes) {
    add_route(communication.node, route);
  }
}

void ProgramGraph::add_route(NodeId owner, RouteNode& route) {
  std::vector<std::uint64_t> colour = {kRoute};
  for (const RouteUse& use : route.uses) {
    colour.insert(colour.end(),
                  {use.instance, use.phase, bits(use.bytes.value), bits(use.rate_limit.value)});
  }
  route.node = graph_.add_node(colour);
  graph_.join(owner, route.node, 0);
  std::vector<LinkId> sorted = route.links;
  std::sort(sorted.begin(), sorted.end());
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last = std::upper_bound(first, sorted.end(), *first);
    const auto times = static_cast<std::uint32_t>(last - first);
    LinkUse& crossed = link(*first);
    crossed.routes.emplace_back(route.node, times);
    graph_.join(route.node, *crossed.node, times);
    first = last;
  }
}

// Links that nothing crosses are left out.
LinkUse& ProgramGraph::link(LinkId id) {
  LinkUse& use = links_[id.index()];
  if (!use.node) {
    use.node = graph_.add_node({kLink, bits(costs_.network().links[id.index()].capacity.value)});
  }
  return use;
}

}  // namespace foretrain
