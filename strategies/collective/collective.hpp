// Collectives and messages as flows: pure functions from who, what and how much to FlowSchedules.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/program/network.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

struct CollectiveRequest {
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes payload;                  ///< the full vector, as in nccl-tests
  std::vector<DeviceId> devices;  ///< distinct, in the order of the group
};

using CollectiveFunction = FlowSchedule (*)(const CollectiveRequest& request,
                                            const Machine& machine);

struct CollectiveAlgorithm {
  std::string_view name;
  std::string_view sentence;
  CollectiveFunction lower;
};

/// All algorithms; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const CollectiveAlgorithm> collective_algorithms();

/// Bytes that each rank must send, at least, for a collective of n ranks over a vector of `payload`
/// bytes: 2 (n-1)/n for an all-reduce, (n-1)/n for the others (nccl-tests, PERFORMANCE.md).
[[nodiscard]] Bytes ring_bytes(CollectiveKind kind, Bytes payload, std::size_t num_ranks);

[[nodiscard]] FlowSchedule ring(const CollectiveRequest& request, const Machine& machine);
/// Of a kind or group that NCCL has no tree for, the ring.
[[nodiscard]] FlowSchedule tree(const CollectiveRequest& request, const Machine& machine);
/// The algorithm of the table that ends first when nothing else communicates, as NCCL chooses.
[[nodiscard]] FlowSchedule quickest(const CollectiveRequest& request, const Machine& machine);
[[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from, DeviceId to,
                                          const Machine& machine);

}  // namespace foretrain
