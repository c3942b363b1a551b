// What communication runs on: links with a capacity, and schedules of flows that cross them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

/// One direction of a wire, switch port or NIC. Flows that cross it share `capacity` max-min
/// fairly.
struct Link {
  std::string name;
  BytesPerSecond capacity;
};

struct Network {
  std::vector<Link> links;
};

/// Bytes that cross a set of links at one rate. A link named k times is used k-fold. Point to point
/// this is one route; a ring is one flow over the links of all its edges, because its chunks move
/// in lockstep and no edge runs ahead of the slowest.
struct Flow {
  Bytes bytes;
  std::vector<LinkId> links;
  BytesPerSecond rate_limit{0};  ///< 0: none; what the protocol reaches when the links are free
};

/// Flows that start together after `latency`; the phase ends when the last of them has.
struct FlowPhase {
  Seconds latency;
  std::vector<Flow> flows;
};

/// How one communication is carried out: its phases, one after the other.
struct FlowSchedule {
  std::vector<FlowPhase> phases;
  /// What it takes of each member's compute rate (SMs, memory bandwidth) from its first phase to
  /// the end of its last; at least 0, below 1.
  double compute_share = 0;
};

}  // namespace foretrain
