// The coloured graph of a program on a platform, and its refinement.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "sim/program/cost_model.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// 64 bits that stand for all that is known about a node. Two nodes that differ get the same colour
/// with a chance of about n^2 / 2^65: below 1e-7 for a million nodes.
using Colour = std::uint64_t;

/// Mixes a word into a colour; the order of mixing counts.
[[nodiscard]] Colour mix(Colour colour, std::uint64_t word);

/// One communication of a group or a pair, the flows that carry it, and who owns it.
struct Instance {
  FlowSchedule schedule;
  Colour kind = 0;              ///< kind of collective or message, payload, latencies
  std::size_t group = 0;        ///< index of the group; for a message, of nothing
  Rank sender;                  ///< of a message
  Rank receiver;
  bool is_message = false;
  std::size_t first_flow = 0;   ///< its flows are numbered from here, phase by phase
};

class ColouredGraph {
 public:
  /// REQUIRES: both outlive this.
  ColouredGraph(const Program& program, const CostModel& costs);

  /// Refines until no class splits any more.
  void refine();

  [[nodiscard]] Colour rank(Rank rank) const { return ranks_[rank.index()]; }
  [[nodiscard]] Colour group(std::size_t group) const { return groups_[group]; }
  [[nodiscard]] Colour link(std::size_t link) const { return links_[link]; }
  [[nodiscard]] Colour flow(std::size_t flow) const { return flows_[flow]; }
  [[nodiscard]] const std::vector<Instance>& instances() const { return instances_; }
  [[nodiscard]] std::size_t num_links() const { return links_.size(); }

  using CollectiveKey = std::tuple<std::size_t, CollectiveKind, Bytes>;
  using MessageKey = std::tuple<Rank, Rank, Bytes>;
  [[nodiscard]] const std::map<CollectiveKey, std::size_t>& collectives() const {
    return collectives_;
  }
  [[nodiscard]] const std::map<MessageKey, std::size_t>& messages() const { return messages_; }

 private:
  void colour_ranks(const CostModel& costs);
  void collect(const CostModel& costs);
  void add_message(const CostModel& costs, Rank from, Rank to, Bytes payload);
  void add(Instance instance);
  void refine_flows();
  void refine_links();
  void refine_owners();
  [[nodiscard]] std::size_t num_classes() const;

  const Program& program_;
  std::vector<Instance> instances_;
  std::map<CollectiveKey, std::size_t> collectives_;
  std::map<MessageKey, std::size_t> messages_;
  std::vector<Colour> ranks_;
  std::vector<Colour> groups_;
  std::vector<Colour> links_;
  std::vector<Colour> flows_;
};

}  // namespace foretrain
