// Parallel aggregated trees (PAT, Jeaugey et al. 2025): for every member a binomial tree that
// begins with its farthest branch, all at once, each shifted by one. An all-gather takes log2(n)
// steps: far messages carry one chunk, the last and nearest half of all. A reduce-scatter is the
// same backwards.
//
// Every member does the same at its place: one flow per step over the edges of all. Buffers are
// taken to hold what a step sends; NCCL cuts large steps into several.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <utility>

#include "strategies/collective/latency.hpp"
#include "strategies/collective/lockstep.hpp"

namespace foretrain {
namespace {

/// Distances of an all-gather's steps, the farthest first.
std::vector<std::size_t> distances(std::size_t n) {
  std::vector<std::size_t> all;
  for (std::size_t distance = std::bit_ceil(n) / 2; distance > 0; distance /= 2) {
    all.push_back(distance);
  }
  return all;
}

/// How far behind a member the owners are whose chunks it sends in the step of this distance.
std::vector<std::size_t> offsets(std::size_t distance, std::size_t n) {
  std::vector<std::size_t> all;
  for (std::size_t offset = 0; offset + distance < n; offset += 2 * distance) {
    all.push_back(offset);
  }
  return all;
}

std::vector<std::size_t> steps_of(CollectiveKind kind, std::size_t n) {
  std::vector<std::size_t> steps = distances(n);
  if (kind == CollectiveKind::reduce_scatter) {
    std::reverse(steps.begin(), steps.end());
  }
  return steps;
}

}  // namespace

FlowSchedule pat(const CollectiveRequest& request, const Machine& machine) {
  const Placement placement = place(request, machine);
  const Manner manner{Pattern::pat, request.protocol};
  const std::vector<Member> members = placement.in_order();
  const std::size_t n = members.size();
  const Reach reach = placement.reach();
  const double share = rate_share(request.payload, manner, reach, placement, machine);
  FlowSchedule schedule;
  for (const std::size_t distance : steps_of(request.kind, n)) {
    std::vector<LinkId> links;
    for (std::size_t p = 0; p < n; ++p) {
      const Member& next = members[(p + distance) % n];
      const bool gathers = request.kind == CollectiveKind::all_gather;
      machine.append_route((gathers ? members[p] : next).device,
                           (gathers ? next : members[p]).device, links);
    }
    // Round the whole group some edge always leaves a node.
    const StepCount steps{placement.spans_nodes() ? 0.0 : 1.0, placement.spans_nodes() ? 1.0 : 0.0,
                          schedule.phases.empty()};
    const auto chunks = static_cast<double>(offsets(distance, n).size());
    schedule.phases.push_back({latency(steps, manner, placement, machine),
                               {lockstep(request.payload * (chunks / static_cast<double>(n)),
                                         std::move(links), share, machine)}});
  }
  return schedule;
}

Moves pat_moves(const CollectiveRequest& request, const Machine& machine) {
  const std::vector<std::uint32_t> ranks = ranks_of(place(request, machine).in_order());
  const std::size_t n = ranks.size();
  Moves moves = Moves::of(n, n);
  std::size_t step = 0;
  for (const std::size_t distance : steps_of(request.kind, n)) {
    for (std::size_t p = 0; p < n; ++p) {
      std::vector<std::uint32_t> chunks;
      for (const std::size_t offset : offsets(distance, n)) {
        chunks.push_back(ranks[(p + n - offset) % n]);
      }
      const std::uint32_t next = ranks[(p + distance) % n];
      if (request.kind == CollectiveKind::all_gather) {
        moves.add(step, {ranks[p], next, std::move(chunks), false});
      } else {
        moves.add(step, {next, ranks[p], std::move(chunks), true});
      }
    }
    ++step;
  }
  return moves;
}

}  // namespace foretrain
