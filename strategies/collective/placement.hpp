// Where the members of a group are: by node and NIC, and the rings and rails that lead through
// them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strategies/collective/collective.hpp"

namespace foretrain {

/// A level of the machine: within a node, or between nodes.
enum class Reach : std::uint8_t { node, fabric };

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
  /// The level that decides the fixed latency and the rate of a collective.
  [[nodiscard]] Reach reach() const { return spans_nodes() ? Reach::fabric : Reach::node; }
  [[nodiscard]] bool is_even() const { return most_members == least_members; }
  /// All members in that order.
  [[nodiscard]] std::vector<Member> in_order() const;
};

/// REQUIRES: the request has members.
[[nodiscard]] Placement place(const CollectiveRequest& request, const Machine& machine);

/// A way round all members, and into how many such parts the payload is cut for it.
struct RingWay {
  std::vector<Member> order;
  double parts = 1;
  BytesPerSecond rate{0};  ///< of a ring inside a node beside its others; 0: of its slowest link
};

/// Inside a node the rings of its topology. Across nodes one ring per NIC that every node can
/// offer: ring r goes round the members of each node along one of the node's own rings, starting
/// behind another NIC. It enters the node through that one, and leaves it through one that no other
/// ring leaves by, wherever the node's rings allow that: so no two share a NIC one way.
[[nodiscard]] std::vector<RingWay> ring_ways(const Placement& placement, const Machine& machine);
/// The rings inside one node over these members of it.
[[nodiscard]] std::vector<RingWay> ring_ways(const std::vector<Member>& node,
                                             const Machine& machine);

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
