// Where the members of a group are: by node and NIC, and the rings and rails that lead through
// them. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strategies/collective/collective.hpp"

namespace foretrain {

struct Member {
  std::uint32_t rank = 0;  ///< its number in the group
  DeviceId device;
  std::size_t nic = 0;  ///< within its node
};

/// The members node by node, in the order of the devices: those behind one NIC are neighbours.
struct Placement {
  std::vector<std::vector<Member>> nodes;
  std::size_t num_members = 0;
  std::size_t most_members = 0;   ///< of one node
  std::size_t least_members = 0;  ///< of one node

  [[nodiscard]] bool spans_nodes() const { return nodes.size() > 1; }
  [[nodiscard]] bool is_even() const { return most_members == least_members; }
  /// All members in that order.
  [[nodiscard]] std::vector<Member> in_order() const;
};

/// REQUIRES: the request has members.
[[nodiscard]] Placement place(const CollectiveRequest& request, const Machine& machine);

/// Rings through all members, one per NIC that every node can offer; one inside a node, where all
/// GPUs reach all others through their own port. Ring r goes round the members of each node
/// starting behind another NIC, so it enters the node through that one and leaves through the one
/// before: no two rings share a NIC one way.
[[nodiscard]] std::vector<std::vector<Member>> ring_orders(const Placement& placement);

/// The j-th members of all nodes. REQUIRES: placement.is_even().
[[nodiscard]] std::vector<Member> rail(const Placement& placement, std::size_t j);

/// Numbers in the group of these members.
[[nodiscard]] std::vector<std::uint32_t> ranks_of(const std::vector<Member>& members);

// Refusals that algorithms share.
[[nodiscard]] std::optional<std::string> refuse_nothing(const CollectiveRequest& request,
                                                        const Machine& machine);
[[nodiscard]] std::optional<std::string> refuse_one_node(const CollectiveRequest& request,
                                                         const Machine& machine);
/// Groups within one node, or with more members on one node than on another.
[[nodiscard]] std::optional<std::string> refuse_uneven_nodes(const CollectiveRequest& request,
                                                             const Machine& machine);

}  // namespace foretrain
