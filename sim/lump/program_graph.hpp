// A program and its costs as a coloured graph: ranks, communications, flows and links.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "sim/lump/refine.hpp"
#include "sim/program/cost_model.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// What a body asks of its slots: each question once, in the order of the streams.
struct SlotUse {
  struct Question {
    CollectiveKind kind = CollectiveKind::all_reduce;
    Bytes payload;
    bool operator==(const Question&) const = default;
  };
  std::vector<std::vector<Question>> collectives;  ///< by communicator slot
  std::vector<std::vector<Bytes>> sends;           ///< by peer slot
  std::vector<bool> is_peer_used;                  ///< by peer slot: sends or receives
};
[[nodiscard]] SlotUse slots_used(const Body& body);

/// One thing that a communicator or a message channel does: its question, and how long each phase
/// waits before its flows start.
struct Instance {
  CollectiveKind kind = CollectiveKind::all_reduce;  ///< of collectives
  Bytes payload;
  std::vector<Seconds> latencies;
};

/// One transfer over a route: in a phase of an instance.
struct RouteUse {
  std::uint32_t instance = 0;
  std::uint32_t phase = 0;
  Bytes bytes;
  BytesPerSecond rate_limit{0};
};

/// A route of a communication, with all transfers that take it.
struct RouteNode {
  NodeId node;
  std::vector<LinkId> links;  ///< as the cost model gave them; one named k times is used k-fold
  std::vector<RouteUse> uses;
};

/// A group with its collectives, or an ordered pair of ranks with its messages.
struct Communication {
  NodeId node;
  std::vector<Instance> instances;
  std::vector<RouteNode> routes;
};

/// One direction between two ranks. A rank may have the same peer in several slots; the first that
/// its body uses stands for all.
struct Channel {
  Rank from;
  Rank to;
  std::uint32_t send_slot = 0;     ///< of `from`
  std::uint32_t receive_slot = 0;  ///< of `to`
  Communication communication;
};

/// One link of the network, and what crosses it.
struct LinkUse {
  std::optional<NodeId> node;                            ///< nothing when no route crosses the link
  std::vector<std::pair<NodeId, std::uint32_t>> routes;  ///< and how often each names the link
};

class ProgramGraph {
 public:
  /// REQUIRES: both outlive the graph, and verify(program) holds.
  ProgramGraph(const Program& program, const CostModel& costs);

  [[nodiscard]] const ColouredGraph& graph() const { return graph_; }
  [[nodiscard]] NodeId rank_node(Rank rank) const { return rank_nodes_[rank.index()]; }
  /// By GroupId; nothing for groups on which nobody issues a collective.
  [[nodiscard]] const std::vector<std::optional<Communication>>& groups() const { return groups_; }
  [[nodiscard]] const std::vector<Channel>& channels() const { return channels_; }
  /// By LinkId.
  [[nodiscard]] const std::vector<LinkUse>& links() const { return links_; }

  [[nodiscard]] const SlotUse& use_of(Rank rank) const {
    return uses_[program_.ranks[rank.index()].body.index()];
  }
  /// The first used communicator slot of a rank that holds the same group as `slot`.
  [[nodiscard]] std::size_t first_slot_of_group(Rank rank, std::size_t slot) const;
  /// The first used peer slot of a rank that holds `peer`; nothing when none does.
  [[nodiscard]] std::optional<std::size_t> first_slot_of_peer(Rank rank, Rank peer) const;

 private:
  void add_ranks();
  void add_groups();
  void join_groups(Rank rank);
  void add_channels(Rank rank);
  Communication ask_group(Rank front, GroupId group);
  Communication ask_channel(Rank from, Rank to);
  void add_schedule(Instance instance, const FlowSchedule& schedule, Communication& into);
  void add_nodes(std::uint64_t kind, std::uint64_t name, Communication& communication);
  void add_route(NodeId owner, RouteNode& route);
  LinkUse& link(LinkId id);

  const Program& program_;
  const CostModel& costs_;
  ColouredGraph graph_;
  std::vector<SlotUse> uses_;  // by body
  std::vector<NodeId> rank_nodes_;
  std::vector<std::optional<Communication>> groups_;
  std::vector<Channel> channels_;
  std::vector<LinkUse> links_;
};

}  // namespace foretrain
