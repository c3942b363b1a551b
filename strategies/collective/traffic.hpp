// All-to-all traffic as few flows: how many messages cross each link, and one flow for all links
// that carry the same.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "strategies/collective/placement.hpp"

namespace foretrain {

/// Messages of everybody to everybody, alike within a node and alike between nodes.
class Traffic {
 public:
  /// REQUIRES: the machine outlives this.
  explicit Traffic(const Machine& machine);

  /// From each of these to each other, all on one node.
  void add_pairs_inside(const std::vector<Member>& node);
  /// From each of these to all that are on other nodes. Of more than 512 members, evenly spaced
  /// distances round the set stand for those between them: `routes` bounds what is looked up.
  void add_pairs_between(const std::vector<Member>& members, std::size_t routes = kMostRoutes);

  static constexpr std::size_t kMostRoutes = std::size_t{512} * 512;

  /// The flows, where a message inside a node has `inside` bytes and one between nodes `between`.
  [[nodiscard]] std::vector<Flow> flows(Bytes inside, Bytes between, double share) const;

 private:
  struct Load {
    std::uint32_t inside = 0;
    std::uint32_t between = 0;
    auto operator<=>(const Load&) const = default;
  };
  void add(const Member& from, const Member& to, std::uint32_t Load::*count);

  const Machine& machine_;
  std::vector<Load> loads_;  // by link
  std::vector<LinkId> route_;
  double pairs_between_ = 0;    // that there are
  double counted_between_ = 0;  // that were looked up
};

}  // namespace foretrain
