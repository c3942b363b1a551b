// Recursive halving and doubling (Rabenseifner 2004): neighbours exchange halves of the payload and
// add, then pairs two apart exchange quarters, and so on; the parts are gathered the same way back.
// Of n members that are no power of two, neighbours first fold into one and get the result at the
// end.
//
// The pairs of one distance move in lockstep: one flow per step.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

/// Those who exchange, a power of two, and those who first fold into folded_into[i].
struct Pairs {
  std::vector<Member> active;
  std::vector<Member> folded;
  std::vector<Member> folded_into;
};

Pairs pairs_of(const Placement& placement) {
  const std::vector<Member> members = placement.in_order();
  const std::size_t extra = members.size() - std::bit_floor(members.size());
  Pairs pairs;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i < 2 * extra && i % 2 == 1) {
      pairs.folded.push_back(members[i]);
      pairs.folded_into.push_back(members[i - 1]);
    } else {
      pairs.active.push_back(members[i]);
    }
  }
  return pairs;
}

/// Edges of one step, from each of these to its like.
struct Edges {
  std::vector<Member> from;
  std::vector<Member> to;
};
Edges exchange(const Pairs& pairs, std::size_t distance) {
  Edges edges;
  for (std::size_t i = 0; i < pairs.active.size(); ++i) {
    edges.from.push_back(pairs.active[i]);
    edges.to.push_back(pairs.active[i ^ distance]);
  }
  return edges;
}

class Steps {
 public:
  Steps(const CollectiveRequest& request, const Placement& placement, const Machine& machine)
      : request_(request), placement_(placement), machine_(machine) {}

  /// All edges at once, each with this share of the payload.
  void add(const Edges& edges, double part) {
    std::vector<LinkId> links;
    bool leaves_node = false;
    for (std::size_t i = 0; i < edges.from.size(); ++i) {
      const DeviceId from = edges.from[i].device;
      const DeviceId to = edges.to[i].device;
      machine_.append_route(from, to, links);
      leaves_node = leaves_node || machine_.node_of(from) != machine_.node_of(to);
    }
    const StepCount steps{leaves_node ? 0.0 : 1.0, leaves_node ? 1.0 : 0.0,
                          schedule.phases.empty()};
    const Manner manner{Pattern::ring, request_.protocol};
    const double share =
        rate_share(request_.payload, manner, placement_.reach(), placement_, machine_);
    schedule.phases.push_back(
        {latency(steps, manner, placement_, machine_),
         {lockstep(request_.payload * part, std::move(links), share, machine_)}});
  }

  FlowSchedule schedule;

 private:
  const CollectiveRequest& request_;
  const Placement& placement_;
  const Machine& machine_;
};

}  // namespace

FlowSchedule halving_doubling(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Pairs pairs = pairs_of(placement);
  const std::size_t n = pairs.active.size();
  Steps steps(request, placement, machine);
  if (!pairs.folded.empty()) {
    steps.add({pairs.folded, pairs.folded_into}, 1);
  }
  for (std::size_t distance = 1; distance < n; distance *= 2) {
    steps.add(exchange(pairs, distance), 0.5 / static_cast<double>(distance));
  }
  for (std::size_t distance = n / 2; distance > 0; distance /= 2) {
    steps.add(exchange(pairs, distance), 0.5 / static_cast<double>(distance));
  }
  if (!pairs.folded.empty()) {
    steps.add({pairs.folded_into, pairs.folded}, 1);
  }
  return std::move(steps.schedule);
}

Moves halving_doubling_moves(const CollectiveRequest& request, const Machine& machine) {
  const Pairs pairs = pairs_of(place(request, machine));
  const auto n = static_cast<std::uint32_t>(pairs.active.size());
  Moves moves = Moves::of(n, n);
  // Chunks whose number ends on the same bits as that of a member, below `distance`.
  const auto like = [&](std::uint32_t member, std::uint32_t distance) {
    std::vector<std::uint32_t> chunks;
    for (std::uint32_t chunk = member % distance; chunk < n; chunk += distance) {
      chunks.push_back(chunk);
    }
    return chunks;
  };
  std::size_t step = 0;
  const auto fold = [&](bool is_back) {
    for (std::size_t i = 0; i < pairs.folded.size(); ++i) {
      const std::uint32_t folded = pairs.folded[i].rank;
      const std::uint32_t into = pairs.folded_into[i].rank;
      moves.add(step, {is_back ? into : folded, is_back ? folded : into, like(0, 1), !is_back});
    }
    step += pairs.folded.empty() ? 0 : 1;
  };
  fold(false);
  for (std::uint32_t distance = 1; distance < n; distance *= 2, ++step) {
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t other = i ^ distance;
      moves.add(step,
                {pairs.active[i].rank, pairs.active[other].rank, like(other, 2 * distance), true});
    }
  }
  for (std::uint32_t distance = n / 2; distance > 0; distance /= 2, ++step) {
    for (std::uint32_t i = 0; i < n; ++i) {
      moves.add(step, {pairs.active[i].rank, pairs.active[i ^ distance].rank, like(i, 2 * distance),
                       false});
    }
  }
  fold(true);
  return moves;
}

}  // namespace foretrain
