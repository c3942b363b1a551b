// What steps cost in time and which share of a link's rate transfers reach: the one place that
// knows which keys of a platform say so, and NCCL's tables.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "strategies/collective/placement.hpp"

namespace foretrain {

/// Algorithms as NCCL's tuning model tells them apart; messages are sends and receives.
enum class Pattern : std::uint8_t { ring, tree, nvls, nvls_tree, pat, messages };

/// How a collective goes about it.
struct Manner {
  Pattern pattern = Pattern::ring;
  Protocol protocol = Protocol::simple;
};

/// Of the rate of a link that NCCL reckons LL128 to reach; Simple reaches all of it.
inline constexpr double kLl128Share = 0.92;

/// Steps that wait for one another, by what they cross.
struct StepCount {
  double node_hops = 0;    ///< from GPU to GPU inside a node, or to its switch
  double fabric_hops = 0;  ///< from node to node
  bool starts = true;      ///< the collective starts with these: its fixed latency is due
};

/// collective_latency at the start, then what the steps wait: where the platform gives a
/// hop_latency, that many of them (inside nodes of a group that spans several the fabric's
/// node_hop_latency, where known); else what NCCL's tuning model tables, times the platform's
/// latency_multiplier. Of unlike nodes the slowest counts.
[[nodiscard]] Seconds latency(const StepCount& steps, const Manner& manner,
                              const Placement& placement, const Machine& machine);

/// Share of a free link's rate that transfers of a collective with this payload reach at a level:
/// the protocol's, and a pipeline's. A pipeline of d steps over chunks of the best size takes
/// S/B + 2 sqrt(d a S/B) for a payload S, rate B and cost a of a step, so its share is
/// 1 / (1 + sqrt(h/S)) with h = 4 d a B: h is the payload at which it reaches half of its rate,
/// half_rate_payload for every step.
[[nodiscard]] double rate_share(Bytes payload, const Manner& manner, Reach level,
                                const Placement& placement, const Machine& machine);

}  // namespace foretrain
