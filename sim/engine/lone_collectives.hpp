// Which collectives meet nobody, and how long those take: they need no fluid model, and a lumped
// program has hundreds of thousands of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "sim/engine/costs.hpp"

namespace foretrain {

/// Whether the events of a body order its collectives on these slots one after the other, so that
/// no two are ever under way at once. REQUIRES: verify() holds for the body's program.
[[nodiscard]] bool happen_in_turn(const Body& body, const std::set<std::uint32_t>& slots);

/// A collective is alone when its group is one rank, as most are in a lumped program, and that rank
/// takes part in turn in all that crosses its links. Its flows then have all of their links.
class LoneCollectives {
 public:
  /// REQUIRES: all three outlive this.
  LoneCollectives(const Program& program, const Network& network, const std::vector<Route>& routes);

  // What crosses links: every communication of the program has to be added.
  void add_collective(GroupId group, const RoutedSchedule& schedule);
  void add_message(const RoutedSchedule& schedule);  ///< or a copy to or from a host

  /// How long a collective takes; nothing where it is not alone, or where its own flows share
  /// links. REQUIRES: all communications have been added.
  [[nodiscard]] std::optional<Seconds> time(GroupId group, const RoutedSchedule& schedule);

 private:
  struct Crossing {
    std::vector<GroupId> groups;
    bool has_messages = false;
  };

  [[nodiscard]] bool is_alone_on(LinkId link, Rank rank);
  [[nodiscard]] std::optional<Seconds> transfer_time(Rank rank, const RoutedPhase& phase);

  const Program& program_;
  const Network& network_;
  const std::vector<Route>& routes_;
  std::vector<Crossing> crossings_;  // by link
  std::map<std::pair<BodyId, std::set<std::uint32_t>>, bool> in_turn_;
};

}  // namespace foretrain
