// The table of collective algorithms, and the choice among them.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include "sim/core/table.hpp"
#include "strategies/collective/nccl.hpp"
#include "strategies/collective/placement.hpp"

namespace foretrain {
namespace {

constexpr CollectiveKind kReduce = CollectiveKind::all_reduce;
constexpr CollectiveKind kGather = CollectiveKind::all_gather;
constexpr CollectiveKind kScatter = CollectiveKind::reduce_scatter;
constexpr CollectiveKinds kRingKinds = {kReduce, kGather, kScatter, CollectiveKind::broadcast,
                                        CollectiveKind::reduce};
constexpr CollectiveKinds kAllToAll = {CollectiveKind::all_to_all};
constexpr CollectiveKinds kRooted = {CollectiveKind::broadcast, CollectiveKind::reduce};

// clang-format off
constexpr std::array<CollectiveAlgorithm, 10> kAlgorithms = {{
    {"ring", "Bandwidth-optimal rings, one per NIC that the group can use",
     kRingKinds, Spread::exact, Protocols::all, refuse_nothing, ring, ring_moves},
    {"tree", "Double binary trees over the nodes, for all-reduces that latency decides",
     {kReduce}, Spread::even, Protocols::all, refuse_one_node, tree, tree_moves},
    {"hierarchical", "Rings inside nodes, then along rails between them, 1/g of the payload on each",
     {kReduce, kGather, kScatter}, Spread::exact, Protocols::simple_only, refuse_uneven_nodes, hierarchical, hierarchical_moves},
    {"nvls", "The switch of a node adds up and hands out (NVLink SHARP)",
     {kReduce, kGather, kScatter}, Spread::exact, Protocols::simple_only, refuse_nvls, nvls, nvls_moves},
    {"nvls-tree", "The switch adds up inside nodes, double binary trees along rails between them",
     {kReduce}, Spread::even, Protocols::simple_only, refuse_nvls_tree, nvls_tree, nvls_tree_moves},
    {"pat", "Parallel aggregated trees: logarithmic steps, far messages small",
     {kGather, kScatter}, Spread::exact, Protocols::simple_only, refuse_nothing, pat, pat_moves},
    {"halving-doubling", "Recursive halving and doubling (Rabenseifner), as in MPI and Gloo",
     {kReduce}, Spread::exact, Protocols::simple_only, refuse_nothing, halving_doubling, halving_doubling_moves},
    {"binomial", "A binomial tree from or to the root, for payloads that latency decides",
     kRooted, Spread::exact, Protocols::simple_only, refuse_nothing, binomial, binomial_moves},
    {"pairwise", "Every pair's own message, all at once",
     kAllToAll, Spread::exact, Protocols::simple_only, refuse_nothing, pairwise, pairwise_moves},
    {"hierarchical-all-to-all", "Inside nodes to the destination's rail first, then along rails (PXN)",
     kAllToAll, Spread::exact, Protocols::simple_only, refuse_uneven_nodes, hierarchical_all_to_all, hierarchical_all_to_all_moves},
}};
// clang-format on

std::string kinds_of(const CollectiveAlgorithm& algorithm) {
  std::string text;
  for (const CollectiveKind kind : kCollectiveKinds) {
    if (algorithm.kinds.contains(kind)) {
      text += (text.empty() ? "" : ", ") + std::string(name_of(kind));
    }
  }
  return text;
}

// "2 GPUs on one node", "16 GPUs on 2 nodes".
std::string group_text(const CollectiveRequest& request, const Machine& machine) {
  const std::size_t nodes = place(request, machine).nodes.size();
  return std::to_string(request.devices.size()) + " GPUs on " +
         (nodes == 1 ? "one node" : std::to_string(nodes) + " nodes");
}

}  // namespace

std::span<const CollectiveAlgorithm> collective_algorithms() { return kAlgorithms; }

const CollectiveAlgorithm& collective_algorithm(std::string_view name) {
  return row_named(kAlgorithms, name, "collective algorithm");
}

std::optional<std::string> why_not(const CollectiveAlgorithm& algorithm,
                                   const CollectiveRequest& request, const Machine& machine) {
  if (!algorithm.kinds.contains(request.kind)) {
    return "it carries out " + kinds_of(algorithm) + " only";
  }
  return request.devices.size() < 2 ? std::nullopt : algorithm.refuse(request, machine);
}

FlowSchedule force(const ForcedCollective& forced, const CollectiveRequest& request,
                   const Machine& machine) {
  if (request.devices.size() == 1) {
    return {};
  }
  if (const auto reason = why_not(*forced.algorithm, request, machine)) {
    Diagnostic mistake = forced.place;
    mistake.message = "'" + std::string(forced.algorithm->name) + "' cannot serve a group of " +
                      group_text(request, machine) + ": " + *reason;
    throw ConfigError({mistake});
  }
  return choose_protocol(*forced.algorithm, request, machine).schedule;
}

}  // namespace foretrain
