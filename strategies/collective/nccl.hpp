// Which algorithm and protocol carry out a collective: the candidates of NCCL, RCCL or Gloo, and of
// those the one that ends first. NCCL predicts every candidate's time from its tables and takes the
// least; the times here have the same form, with the platform's calibrated numbers in it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "strategies/collective/collective.hpp"

namespace foretrain {

/// One algorithm that a library has for some kinds.
struct Candidate {
  std::string_view algorithm;  ///< a row of collective_algorithms()
  CollectiveKinds kinds;
  bool is_one_per_node = false;  ///< only for groups with one member on every node
};

/// What a library chooses from.
[[nodiscard]] std::span<const Candidate> candidates(CollectiveLibrary library);

struct CollectiveChoice {
  const CollectiveAlgorithm* algorithm = nullptr;
  Protocol protocol = Protocol::simple;
  FlowSchedule schedule;
  Seconds time;  ///< when nothing else communicates
};

/// REQUIRES: at least two members.
[[nodiscard]] CollectiveChoice choose(const CollectiveRequest& request, const Machine& machine);
/// The protocol with which one algorithm ends first. REQUIRES: why_not() is empty.
[[nodiscard]] CollectiveChoice choose_protocol(const CollectiveAlgorithm& algorithm,
                                               const CollectiveRequest& request,
                                               const Machine& machine);

/// How long a schedule takes when nothing else communicates: its latencies and, of each phase, the
/// slowest flow or the busiest link. `in_whole_bytes`: every flow without the fraction of its last
/// byte, as SimGrid takes it.
[[nodiscard]] Seconds time_alone(const FlowSchedule& schedule, const Machine& machine,
                                 bool in_whole_bytes = false);

}  // namespace foretrain
