// Asks a CostModel once for everything a program needs, and numbers the routes of all flows.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "sim/engine/binding_links.hpp"
#include "sim/engine/engine.hpp"
#include "sim/engine/world.hpp"

namespace foretrain {

/// A FlowPhase whose flows name their route by its number.
struct RoutedPhase {
  Seconds latency;
  std::vector<Transfer> transfers;
};
struct RoutedSchedule {
  std::vector<RoutedPhase> phases;
  double compute_share = 0;
};

struct RoutedCollective {
  RoutedSchedule schedule;
  std::optional<Seconds> alone;  ///< how long it takes, where it meets nobody
};

class CostTable {
 public:
  /// REQUIRES: both outlive the table.
  CostTable(const Program& program, const CostModel& costs);

  /// What the transfers of all schedules run on.
  [[nodiscard]] const BindingLinks& links() const { return links_; }
  /// Every compute_share above 0 that a communication has.
  [[nodiscard]] const std::set<double>& compute_shares() const { return compute_shares_; }
  [[nodiscard]] Seconds kernels(KernelListId list, DeviceId device);
  [[nodiscard]] double kernel_factor(Rank rank, std::size_t stream, std::size_t op) const {
    return costs_.is_jittered() ? costs_.kernel_factor(rank, stream, op) : 1;
  }
  [[nodiscard]] const RoutedCollective& collective(GroupId group, const Collective& op) const;
  [[nodiscard]] const RoutedSchedule& message(Rank from, Rank to, std::uint32_t channel,
                                              Bytes payload) const;
  [[nodiscard]] const RoutedSchedule& host_copy(Rank rank, const HostCopy& copy) const;

 private:
  using CollectiveKey = std::tuple<GroupId, CollectiveKind, Bytes>;
  using MessageKey = std::tuple<Rank, Rank, std::uint32_t, Bytes>;
  using HostCopyKey = std::tuple<Rank, CopyDirection, Bytes>;

  void ask(const RankBinding& binding, Rank rank, const Op& op);
  RoutedSchedule number_routes(const FlowSchedule& schedule);
  RouteId route(Route route);
  void ask_message(Rank from, Rank to, std::uint32_t channel, Bytes payload);
  void time_lone_collectives();

  const Program& program_;
  const CostModel& costs_;
  std::vector<Route> routes_;  // as the cost model gave them
  BindingLinks links_;
  std::map<Route, RouteId> route_ids_;
  std::set<double> compute_shares_;
  std::unordered_map<std::uint64_t, Seconds> kernel_lists_;  // by list and device; never iterated
  std::map<CollectiveKey, RoutedCollective> collectives_;
  std::map<MessageKey, RoutedSchedule> messages_;
  std::map<HostCopyKey, RoutedSchedule> host_copies_;
};

}  // namespace foretrain
