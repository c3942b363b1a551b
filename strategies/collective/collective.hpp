// Collectives and messages as flows: pure functions from who, what and how much to FlowSchedules.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/core/error.hpp"
#include "sim/program/network.hpp"
#include "sim/program/program.hpp"
#include "strategies/collective/moves.hpp"

namespace foretrain {

/// How NCCL hands data from GPU to GPU: LL sends a flag with every 4 bytes, LL128 one with every
/// 120, Simple synchronises per chunk.
enum class Protocol : std::uint8_t { ll, ll128, simple };
[[nodiscard]] std::string_view name_of(Protocol protocol);

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes payload;                  ///< the full vector, as in nccl-tests
  std::vector<DeviceId> devices;  ///< distinct, in the order of the group
  Protocol protocol = Protocol::simple;
};

/// Some of the kinds of collectives.
class CollectiveKinds {
 public:
  constexpr CollectiveKinds(std::initializer_list<CollectiveKind> kinds) {
    for (const CollectiveKind kind : kinds) {
      bits_ |= 1U << static_cast<unsigned>(kind);
    }
  }
  [[nodiscard]] constexpr bool contains(CollectiveKind kind) const {
    return (bits_ >> static_cast<unsigned>(kind) & 1U) != 0;
  }

 private:
  unsigned bits_ = 0;
};

// REQUIRES, of all three: at least two devices, and a kind that the algorithm carries out.
/// Why the algorithm cannot serve this group; nothing when it can.
using CollectiveRefusal = std::optional<std::string> (*)(const CollectiveRequest& request,
                                                         const Machine& machine);
using CollectiveFunction = FlowSchedule (*)(const CollectiveRequest& request,
                                            const Machine& machine);
using MovesFunction = Moves (*)(const CollectiveRequest& request, const Machine& machine);

/// What the bytes of an algorithm's flows are, link by link: those of its moves; or as many in sum
/// over the ports of all GPUs and over all NICs, but the same on each (the root and the leaves of a
/// tree are not told apart, so that ranks stay alike).
enum class Spread : std::uint8_t { exact, even };

/// Whether an algorithm can talk in LL and LL128, or in Simple only.
enum class Protocols : std::uint8_t { all, simple_only };

struct CollectiveAlgorithm {
  std::string_view name;
  std::string_view sentence;
  CollectiveKinds kinds;
  Spread spread;
  Protocols protocols;
  CollectiveRefusal refuse;
  CollectiveFunction lower;  ///< how much, where: flows
  MovesFunction moves;       ///< what, whereto: quadratic in the ranks, for tests
};

/// All algorithms; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const CollectiveAlgorithm> collective_algorithms();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const CollectiveAlgorithm& collective_algorithm(std::string_view name);
/// Why an algorithm cannot carry out a collective: its kind, or the group; nothing when it can.
[[nodiscard]] std::optional<std::string> why_not(const CollectiveAlgorithm& algorithm,
                                                 const CollectiveRequest& request,
                                                 const Machine& machine);

/// Bus bandwidth over algorithm bandwidth (nccl-tests, PERFORMANCE.md): 2 (n-1)/n for an
/// all-reduce, 1 for broadcast and reduce, (n-1)/n for the others.
[[nodiscard]] double bus_factor(CollectiveKind kind, std::size_t num_ranks);
/// Bytes that cross each edge of a ring of n ranks: the payload times the bus factor.
[[nodiscard]] Bytes ring_bytes(CollectiveKind kind, Bytes payload, std::size_t num_ranks);

/// An algorithm that a run file asks for, for all collectives of a kind.
struct ForcedCollective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  const CollectiveAlgorithm* algorithm = nullptr;  ///< a row of the table
  Diagnostic place;                                ///< the key, for mistakes that show later
};
/// The collective by the algorithm that is forced for its kind. Throws ConfigError, with the place
/// and the reason, when that cannot serve the group.
[[nodiscard]] FlowSchedule force(const ForcedCollective& forced, const CollectiveRequest& request,
                                 const Machine& machine);
/// What the cluster's library chooses; see nccl.hpp.
[[nodiscard]] FlowSchedule quickest(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from, DeviceId to,
                                          const Machine& machine);

// The implementations, one file each.
[[nodiscard]] FlowSchedule ring(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves ring_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule tree(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves tree_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule hierarchical(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves hierarchical_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule nvls(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves nvls_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule nvls_tree(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves nvls_tree_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule pat(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves pat_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule halving_doubling(const CollectiveRequest& request,
                                            const Machine& machine);
[[nodiscard]] Moves halving_doubling_moves(const CollectiveRequest& request,
                                           const Machine& machine);
[[nodiscard]] FlowSchedule binomial(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves binomial_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule pairwise(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] Moves pairwise_moves(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule hierarchical_all_to_all(const CollectiveRequest& request,
                                                   const Machine& machine);
[[nodiscard]] Moves hierarchical_all_to_all_moves(const CollectiveRequest& request,
                                                  const Machine& machine);
[[nodiscard]] std::optional<std::string> refuse_nvls(const CollectiveRequest& request,
                                                     const Machine& machine);
[[nodiscard]] std::optional<std::string> refuse_nvls_tree(const CollectiveRequest& request,
                                                          const Machine& machine);

}  // namespace foretrain
