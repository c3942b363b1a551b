// A program and its costs as a coloured graph: ranks, communications, flows and links.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
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
  std::vector<HostCopy> host_copies;
};
[[nodiscard]] SlotUse slots_used(const Body& body);

/// One thing that a communicator, a message channel or a rank's host does: its question, and how
/// long each phase waits before its flows start.
struct Instance {
  CollectiveKind kind = CollectiveKind::all_reduce;  ///< of collectives
  CopyDirection direction = CopyDirection::to_host;  ///< of copies
  Bytes payload;
  std::vector<Seconds> latencies;
  double compute_share = 0;
};

/// One transfer over a route: in a phase of an instance.
struct RouteUse {
  std::uint32_t instance = 0;
  std::uint32_t phase = 0;
  Bytes bytes;
  BytesPerSecond rate_limit{0};
};

/// What communications have in common that differ only in their members and links.
struct Shape {
  std::vector<Instance> instances;
  std::vector<std::vector<RouteUse>> routes;  ///< by route: all transfers that take it
  ColourId colour;
  std::vector<ColourId> route_colours;  ///< none where the only route is one node with its owner
};
using ShapeId = Id<struct ShapeKind>;

/// A group with its collectives, an ordered pair of ranks with its messages, or a rank with its
/// copies to and from its host.
struct Communication {
  NodeId node;
  ShapeId shape;
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

class ProgramGraph {
 public:
  /// REQUIRES: both outlive the graph, and verify(program) holds.
  ProgramGraph(const Program& program, const CostModel& costs);

  [[nodiscard]] const ColouredGraph& graph() const { return graph_; }
  [[nodiscard]] NodeId rank_node(Rank rank) const { return rank_nodes_[rank.index()]; }
  /// By GroupId; nothing for groups on which nobody issues a collective.
  [[nodiscard]] const std::vector<std::optional<Communication>>& groups() const { return groups_; }
  [[nodiscard]] const std::vector<Channel>& channels() const { return channels_; }
  /// By Rank; nothing for ranks that copy nothing.
  [[nodiscard]] const std::vector<std::optional<Communication>>& host_copies() const {
    return host_copies_;
  }
  [[nodiscard]] const Shape& shape_of(const Communication& communication) const {
    return shapes_[communication.shape.index()];
  }
  /// A communication's only route is one node with it; several follow it.
  [[nodiscard]] NodeId route_node(const Communication& communication, std::size_t route) const;
  /// By LinkId; nothing when no route crosses the link.
  [[nodiscard]] const std::vector<std::optional<NodeId>>& link_nodes() const { return link_nodes_; }

  [[nodiscard]] const SlotUse& use_of(Rank rank) const {
    return uses_[program_.ranks[rank.index()].body.index()];
  }
  /// The first used communicator slot of a rank that holds the same group as `slot`.
  [[nodiscard]] std::size_t first_slot_of_group(Rank rank, std::size_t slot) const;
  /// The first used peer slot of a rank that holds `peer`; nothing when none does.
  [[nodiscard]] std::optional<std::size_t> first_slot_of_peer(Rank rank, Rank peer) const;

 private:
  /// A communication before it has a node.
  struct Asked {
    Shape shape;
    std::vector<std::vector<LinkId>> links;  // by route; one named k times is used k-fold

    void add(Instance instance, FlowSchedule schedule);
  };

  void add_ranks();
  void add_groups();
  void join_groups(Rank rank);
  void add_channels(Rank rank);
  void add_host_copies(Rank rank);
  Asked ask_group(Rank front, GroupId group) const;
  Asked ask_channel(Rank from, Rank to) const;
  Communication add(std::uint64_t kind, std::uint64_t name, Asked asked);
  ShapeId shape_id(std::uint64_t kind, std::uint64_t name, Shape shape);
  void join_links(NodeId route, const std::vector<LinkId>& links);
  NodeId link_node(LinkId id);

  const Program& program_;
  const CostModel& costs_;
  ColouredGraph graph_;
  std::vector<SlotUse> uses_;  // by body
  std::vector<NodeId> rank_nodes_;
  std::vector<std::optional<Communication>> groups_;
  std::vector<Channel> channels_;
  std::vector<std::optional<Communication>> host_copies_;
  std::vector<std::optional<NodeId>> link_nodes_;
  std::vector<std::uint32_t> times_;  // by LinkId: zero but while the links of a route are counted
  std::map<std::vector<std::uint64_t>, ShapeId> shape_ids_;
  std::vector<Shape> shapes_;
};

}  // namespace foretrain
