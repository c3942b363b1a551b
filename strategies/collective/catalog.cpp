// The table of collective algorithms, and the choice among them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "strategies/collective/collective.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<CollectiveAlgorithm, 2> kAlgorithms = {{
    {"ring", "Bandwidth-optimal rings, one per NIC that the group can use", ring},
    {"tree", "Double binary trees over the nodes, for all-reduces that latency decides", tree},
}};
// clang-format on

Seconds time_alone(const FlowSchedule& schedule) {
  Seconds sum(0);
  for (const FlowPhase& phase : schedule.phases) {
    Seconds longest(0);
    for (const Flow& flow : phase.flows) {
      longest = std::max(longest, flow.bytes / flow.rate_limit);
    }
    sum += phase.latency + longest;
  }
  return sum;
}

}  // namespace

std::span<const CollectiveAlgorithm> collective_algorithms() { return kAlgorithms; }

FlowSchedule quickest(const CollectiveRequest& request, const Machine& machine) {
  FlowSchedule best = kAlgorithms.front().lower(request, machine);
  for (const CollectiveAlgorithm& algorithm : collective_algorithms().subspan(1)) {
    FlowSchedule other = algorithm.lower(request, machine);
    if (time_alone(other) < time_alone(best)) {
      best = std::move(other);
    }
  }
  return best;
}

}  // namespace foretrain
