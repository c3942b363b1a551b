// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/nccl.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "sim/core/error.hpp"
#include "strategies/collective/latency.hpp"

namespace foretrain {
namespace {

constexpr CollectiveKinds kAllReduce = {CollectiveKind::all_reduce};
constexpr CollectiveKinds kGathers = {CollectiveKind::all_gather, CollectiveKind::reduce_scatter};
constexpr CollectiveKinds kRooted = {CollectiveKind::broadcast, CollectiveKind::reduce};
constexpr CollectiveKinds kAllToAll = {CollectiveKind::all_to_all};
constexpr CollectiveKinds kByRing = {CollectiveKind::all_reduce, CollectiveKind::all_gather,
                                     CollectiveKind::reduce_scatter, CollectiveKind::broadcast,
                                     CollectiveKind::reduce};

// NCCL 2.30.7. Gathers and scatters may use NVLS too, but run on rings where they were watched: on
// eight H200 at 361 and 363 GB/s (stas00/ml-engineering). PAT needs one GPU per node. SHARP in the
// network (CollNet) is off unless asked for.
constexpr std::array<Candidate, 6> kNccl = {{
    {"ring", kByRing, false},
    {"tree", kAllReduce, false},
    {"nvls", kAllReduce, false},
    {"nvls-tree", kAllReduce, false},
    {"pat", kGathers, true},
    {"pairwise", kAllToAll, false},
}};

// AMD's fork of NCCL: rings and trees, no switch that adds up.
constexpr std::array<Candidate, 3> kRccl = {{
    {"ring", kByRing, false},
    {"tree", kAllReduce, false},
    {"pairwise", kAllToAll, false},
}};

constexpr std::array<Candidate, 4> kGloo = {{
    {"ring", kByRing, false},
    {"halving-doubling", kAllReduce, false},
    {"binomial", kRooted, false},
    {"pairwise", kAllToAll, false},
}};

Seconds latencies(const FlowSchedule& schedule) {
  Seconds sum(0);
  for (const FlowPhase& phase : schedule.phases) {
    sum += phase.latency;
  }
  return sum;
}

CollectiveChoice lowered(const CollectiveAlgorithm& algorithm, CollectiveRequest request,
                         Protocol protocol, const Machine& machine) {
  request.protocol = protocol;
  CollectiveChoice choice{&algorithm, protocol, algorithm.lower(request, machine), Seconds(0)};
  choice.time = time_alone(choice.schedule, machine);
  return choice;
}

bool spans_nodes(const CollectiveRequest& request, const Machine& machine) {
  return std::any_of(request.devices.begin(), request.devices.end(), [&](DeviceId device) {
    return machine.node_of(device) != machine.node_of(request.devices.front());
  });
}

bool is_one_per_node(const CollectiveRequest& request, const Machine& machine) {
  return place(request, machine).most_members == 1;
}

// Beyond this LL, with at most half of the rate, is not worth lowering an algorithm once more: on
// the measured platforms it loses from 1 to 16 MiB on.
constexpr Bytes kMostLowLatency{64.0 * 1024 * 1024};

// Where NCCL's table is not in use nothing tells the protocols apart; Gloo has none.
bool is_allowed(Protocol protocol, const CollectiveRequest& request, const Machine& machine) {
  const Cluster& cluster = machine.cluster();
  const Interconnect& way = spans_nodes(request, machine)
                                ? cluster.fabric
                                : machine.inside(machine.node_of(request.devices.front()));
  if (!way.latency_multiplier || cluster.collectives == CollectiveLibrary::gloo) {
    return false;
  }
  if (protocol == Protocol::ll128) {
    return !cluster.node_wiring->is_pcie();
  }
  return request.payload <=
         (way.low_latency_limit ? way.low_latency_limit->value : kMostLowLatency);
}

}  // namespace

std::span<const Candidate> candidates(CollectiveLibrary library) {
  switch (library) {
    case CollectiveLibrary::rccl:
      return kRccl;
    case CollectiveLibrary::gloo:
      return kGloo;
    case CollectiveLibrary::nccl:
      break;
  }
  return kNccl;
}

Seconds time_alone(const FlowSchedule& schedule, const Machine& machine, bool in_whole_bytes) {
  const std::vector<Link>& links = machine.network().links;
  std::vector<std::pair<LinkId, Bytes>> crossings;  // not by link: a group knows few of them
  Seconds sum(0);
  for (const FlowPhase& phase : schedule.phases) {
    Seconds longest(0);
    crossings.clear();
    for (const Flow& flow : phase.flows) {
      const Bytes bytes = in_whole_bytes ? Bytes(std::floor(flow.bytes.value)) : flow.bytes;
      if (flow.rate_limit > BytesPerSecond(0)) {
        longest = std::max(longest, bytes / flow.rate_limit);
      }
      for (const LinkId link : flow.links) {
        crossings.emplace_back(link, bytes);
      }
    }
    std::sort(crossings.begin(), crossings.end());
    for (auto at = crossings.begin(); at != crossings.end();) {
      const LinkId link = at->first;
      Bytes load(0);
      for (; at != crossings.end() && at->first == link; ++at) {
        load += at->second;
      }
      longest = std::max(longest, load / links[link.index()].capacity);
    }
    sum += phase.latency + longest;
  }
  return sum;
}

CollectiveChoice choose_protocol(const CollectiveAlgorithm& algorithm,
                                 const CollectiveRequest& request, const Machine& machine) {
  CollectiveChoice best = lowered(algorithm, request, Protocol::simple, machine);
  if (algorithm.protocols == Protocols::simple_only) {
    return best;
  }
  const Seconds transfer = best.time - latencies(best.schedule);
  for (const Protocol protocol : {Protocol::ll128, Protocol::ll}) {
    const bool is_hopeless = protocol == Protocol::ll128 && transfer / kLl128Share >= best.time;
    if (is_hopeless || !is_allowed(protocol, request, machine)) {
      continue;
    }
    CollectiveChoice other = lowered(algorithm, request, protocol, machine);
    if (other.time < best.time) {
      best = std::move(other);
    }
  }
  return best;
}

CollectiveChoice choose(const CollectiveRequest& request, const Machine& machine) {
  FORETRAIN_ASSERT(request.devices.size() > 1, "a choice for a group of one");
  std::optional<CollectiveChoice> best;
  for (const Candidate& candidate : candidates(machine.cluster().collectives)) {
    const CollectiveAlgorithm& algorithm = collective_algorithm(candidate.algorithm);
    if (!candidate.kinds.contains(request.kind) || why_not(algorithm, request, machine) ||
        (candidate.is_one_per_node && !is_one_per_node(request, machine))) {
      continue;
    }
    CollectiveChoice other = choose_protocol(algorithm, request, machine);
    if (!best || other.time < best->time) {
      best = std::move(other);
    }
  }
  FORETRAIN_ASSERT(best.has_value(), "every library serves every kind");
  return std::move(*best);
}

FlowSchedule quickest(const CollectiveRequest& request, const Machine& machine) {
  FORETRAIN_ASSERT(!request.devices.empty(), "a collective without members");
  return request.devices.size() == 1 ? FlowSchedule() : choose(request, machine).schedule;
}

}  // namespace foretrain
