// SPDX-License-Identifier: Apache-2.0
// What two nodes of one colour have in common, and what their edges say:
//   rank      body and kind of device; joined to its groups (label: slot) and channels (label: slot
//             and direction)
//   group     axis, questions, latencies and compute shares; joined to its members and its routes
//   channel   likewise, for the messages from one rank to another
//   copies    likewise, for what one rank copies to and from its host
//   route     the transfers that take it: instance, phase, bytes, rate limit; joined to its links
//             (label: how often it names the link)
//   link      capacity
// The only route of a group, channel or rank's copies is one node with it, of both colours and with
// both ends' edges: whoever has the one has the other.
#include "sim/lump/program_graph.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

enum NodeKind : std::uint64_t { kRank, kGroup, kChannel, kRoute, kLink, kHostCopies };

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

void add_words(const std::vector<RouteUse>& uses, std::vector<std::uint64_t>& words) {
  for (const RouteUse& use : uses) {
    words.insert(words.end(),
                 {use.instance, use.phase, bits(use.bytes.value), bits(use.rate_limit.value)});
  }
}

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
      } else if (const auto* copy = std::get_if<HostCopy>(&op.action)) {
        add_once(use.host_copies, *copy);
      }
    }
  }
  use.sends.resize(use.is_peer_used.size());
  return use;
}

ProgramGraph::ProgramGraph(const Program& program, const CostModel& costs)
    : program_(program),
      costs_(costs),
      link_nodes_(costs.network().links.size()),
      times_(link_nodes_.size(), 0) {
  uses_.reserve(program.bodies.size());
  for (const Body& body : program.bodies) {
    uses_.push_back(slots_used(body));
  }
  add_ranks();
  add_groups();
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    join_groups(Rank(rank));
    add_channels(Rank(rank));
  }
  host_copies_.resize(program.ranks.size());
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    add_host_copies(Rank(rank));
  }
}

NodeId ProgramGraph::route_node(const Communication& communication, std::size_t route) const {
  const std::size_t own = shape_of(communication).routes.size() == 1 ? 0 : 1;
  return NodeId(communication.node.index() + own + route);
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
  rank_nodes_.reserve(program_.ranks.size());
  for (const RankBinding& binding : program_.ranks) {
    const ColourId colour =
        graph_.colour({kRank, binding.body.value, costs_.device_kind(binding.device)});
    rank_nodes_.push_back(graph_.add_node(colour));
  }
}

// All members issue the same collectives, so the first one speaks for all.
void ProgramGraph::add_groups() {
  groups_.resize(program_.groups.size());
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    Asked asked = ask_group(program_.groups[group].members.front(), GroupId(group));
    if (!asked.shape.instances.empty()) {
      groups_[group] = add(kGroup, program_.groups[group].axis.value, std::move(asked));
    }
  }
}

ProgramGraph::Asked ProgramGraph::ask_group(Rank front, GroupId group) const {
  std::vector<SlotUse::Question> questions;
  const SlotUse& use = use_of(front);
  for (std::size_t slot = 0; slot < use.collectives.size(); ++slot) {
    if (program_.ranks[front.index()].communicators[slot] == group) {
      for (const SlotUse::Question& question : use.collectives[slot]) {
        add_once(questions, question);
      }
    }
  }
  Asked asked;
  for (const SlotUse::Question& question : questions) {
    asked.add({question.kind, {}, question.payload, {}, 0},
              costs_.collective_of(program_, group, question.kind, question.payload));
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
    Asked asked = ask_channel(rank, peer);
    const auto receive_slot = first_slot_of_peer(peer, rank);
    if (asked.shape.instances.empty() || !receive_slot) {
      continue;
    }
    const Communication channel = add(kChannel, 0, std::move(asked));
    graph_.join(rank_nodes_[rank.index()], channel.node, 2 * slot);
    graph_.join(rank_nodes_[peer.index()], channel.node, 2 * *receive_slot + 1);
    channels_.push_back({rank, peer, static_cast<std::uint32_t>(slot),
                         static_cast<std::uint32_t>(*receive_slot), channel});
  }
}

// Channel numbers keep messages of a pair apart, and say nothing of how they travel.
ProgramGraph::Asked ProgramGraph::ask_channel(Rank from, Rank to) const {
  std::vector<Bytes> payloads;
  const SlotUse& use = use_of(from);
  for (std::size_t slot = 0; slot < use.sends.size(); ++slot) {
    if (use.is_peer_used[slot] && program_.ranks[from.index()].peers[slot] == to) {
      for (const Bytes payload : use.sends[slot]) {
        add_once(payloads, payload);
      }
    }
  }
  Asked asked;
  for (const Bytes payload : payloads) {
    asked.add({{}, {}, payload, {}, 0}, costs_.message_of(program_, from, to, 0, payload));
  }
  return asked;
}

void ProgramGraph::add_host_copies(Rank rank) {
  Asked asked;
  for (const HostCopy& copy : use_of(rank).host_copies) {
    asked.add({{}, copy.direction, copy.bytes, {}, 0},
              costs_.host_copy_of(program_, rank, copy.direction, copy.bytes));
  }
  if (!asked.shape.instances.empty()) {
    host_copies_[rank.index()] = add(kHostCopies, 0, std::move(asked));
    graph_.join(rank_nodes_[rank.index()], host_copies_[rank.index()]->node, 0);
  }
}

// Most instances of a communication take the same routes with other bytes: one node for all of
// them.
void ProgramGraph::Asked::add(Instance instance, FlowSchedule schedule) {
  const auto number = static_cast<std::uint32_t>(shape.instances.size());
  instance.latencies.reserve(schedule.phases.size());
  instance.compute_share = schedule.compute_share;
  for (std::uint32_t phase = 0; phase < schedule.phases.size(); ++phase) {
    instance.latencies.push_back(schedule.phases[phase].latency);
    for (Flow& flow : schedule.phases[phase].flows) {
      const auto known = std::find(links.begin(), links.end(), flow.links);
      const auto route = static_cast<std::size_t>(known - links.begin());
      if (known == links.end()) {
        links.push_back(std::move(flow.links));
        shape.routes.emplace_back();
      }
      shape.routes[route].push_back({number, phase, flow.bytes, flow.rate_limit});
    }
  }
  shape.instances.push_back(std::move(instance));
}

Communication ProgramGraph::add(std::uint64_t kind, std::uint64_t name, Asked asked) {
  const ShapeId id = shape_id(kind, name, std::move(asked.shape));
  const Shape& shape = shapes_[id.index()];
  const Communication communication{graph_.add_node(shape.colour), id};
  for (const ColourId colour : shape.route_colours) {
    graph_.join(communication.node, graph_.add_node(colour), 0);
  }
  for (std::size_t route = 0; route < asked.links.size(); ++route) {
    join_links(route_node(communication, route), asked.links[route]);
  }
  return communication;
}

ShapeId ProgramGraph::shape_id(std::uint64_t kind, std::uint64_t name, Shape shape) {
  std::vector<std::uint64_t> words = {kind, name, shape.instances.size()};
  for (const Instance& instance : shape.instances) {
    words.insert(
        words.end(),
        {static_cast<std::uint64_t>(instance.kind), static_cast<std::uint64_t>(instance.direction),
         bits(instance.payload.value), bits(instance.compute_share), instance.latencies.size()});
    for (const Seconds latency : instance.latencies) {
      words.push_back(bits(latency.value));
    }
  }
  const std::vector<std::uint64_t> words_of_owner = words;
  for (const std::vector<RouteUse>& uses : shape.routes) {
    words.push_back(uses.size());
    add_words(uses, words);
  }
  const auto [place, is_new] = shape_ids_.try_emplace(std::move(words), ShapeId(shapes_.size()));
  if (is_new) {
    const bool is_one = shape.routes.size() == 1;
    shape.colour = graph_.colour(is_one ? place->first : words_of_owner);
    for (std::size_t route = 0; route < shape.routes.size() && !is_one; ++route) {
      std::vector<std::uint64_t> words_of_route = {kRoute};
      add_words(shape.routes[route], words_of_route);
      shape.route_colours.push_back(graph_.colour(words_of_route));
    }
    shapes_.push_back(std::move(shape));
  }
  return place->second;
}

void ProgramGraph::join_links(NodeId route, const std::vector<LinkId>& links) {
  for (const LinkId link : links) {
    ++times_[link.index()];
  }
  for (const LinkId link : links) {
    if (const std::uint32_t times = std::exchange(times_[link.index()], 0); times > 0) {
      graph_.join(route, link_node(link), times);
    }
  }
}

// Links that nothing crosses are left out.
NodeId ProgramGraph::link_node(LinkId id) {
  std::optional<NodeId>& node = link_nodes_[id.index()];
  if (!node) {
    const BytesPerSecond capacity = costs_.network().links[id.index()].capacity;
    node = graph_.add_node(graph_.colour({kLink, bits(capacity.value)}));
  }
  return *node;
}

}  // namespace foretrain
