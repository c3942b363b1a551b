// What steps cost in time and which share of a link's rate transfers reach: the one place that
// knows which keys of a platform say so.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/collective/placement.hpp"

namespace foretrain {

/// Steps that wait for one another, by what they cross.
struct StepCount {
  double node_hops = 0;    ///< from GPU to GPU inside a node, or to its switch
  double fabric_hops = 0;  ///< from node to node
  bool starts = true;      ///< the collective starts with these: its fixed latency is due
};

/// collective_latency at the start, and a hop_latency for every step; inside the nodes of a group
/// that spans several, the fabric's node_hop_latency where it is known. Of unlike nodes the slowest
/// counts.
[[nodiscard]] Seconds latency(const StepCount& steps, const Placement& placement,
                              const Machine& machine);

/// Share of a free link's rate that transfers of a collective with this payload reach at a level.
[[nodiscard]] double rate_share(Bytes payload, Reach level, const Placement& placement,
                                const Machine& machine);

}  // namespace foretrain
