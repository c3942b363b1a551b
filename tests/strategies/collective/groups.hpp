// What the tests of collectives share: groups on small machines, and playing them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "sim/engine/engine.hpp"
#include "strategies/collective/collective.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/program_maker.hpp"

namespace foretrain::testing {

inline constexpr CollectiveKind kReduce = CollectiveKind::all_reduce;

/// The numbers of the first devices, as many as that.
inline std::vector<std::size_t> first(std::size_t count) {
  std::vector<std::size_t> members(count);
  std::iota(members.begin(), members.end(), std::size_t{0});
  return members;
}

inline std::vector<DeviceId> devices(const std::vector<std::size_t>& numbers) {
  std::vector<DeviceId> ids;
  ids.reserve(numbers.size());
  for (const std::size_t number : numbers) {
    ids.push_back(DeviceId(number));
  }
  return ids;
}

/// small_cluster() with switches that add up at 80 GB/s per port.
inline Cluster switching_cluster(std::int64_t gpus_per_node, std::int64_t nics_per_node) {
  Cluster cluster = small_cluster(gpus_per_node, nics_per_node);
  cluster.node.in_switch_reduction = {0.8, "a test", config::Basis::assumed};
  cluster.gpu.generation = GpuGeneration::hopper;
  return cluster;
}

/// Answers for collectives with one algorithm; programs for it have no kernels and messages.
class CollectiveCosts : public CostModel {
 public:
  CollectiveCosts(const Machine& machine, CollectiveFunction algorithm)
      : machine_(machine), algorithm_(algorithm) {}
  [[nodiscard]] const Network& network() const override { return machine_.network(); }
  [[nodiscard]] Seconds kernel_time(const Kernel&, DeviceId) const override { return Seconds(0); }
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& members) const override {
    return algorithm_({kind, payload, members}, machine_);
  }
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override {
    return foretrain::point_to_point(payload, from, to, machine_);
  }

 private:
  const Machine& machine_;
  CollectiveFunction algorithm_;
};

/// When each of several collectives ends that start together, one per request.
inline std::vector<double> end_times(const std::vector<CollectiveRequest>& requests,
                                     const Machine& machine, CollectiveFunction algorithm) {
  ProgramMaker maker(machine.num_devices());
  for (const CollectiveRequest& request : requests) {
    std::vector<Rank> members;
    for (const DeviceId device : request.devices) {
      members.push_back(Rank(device.index()));
    }
    const GroupId group = maker.group(members);
    for (const Rank member : members) {
      maker.program().ranks[member.index()].communicators = {group};
      maker.op(member.index(), Collective{request.kind, 0, request.payload});
    }
  }
  const Timeline timeline = play(maker.program(), CollectiveCosts(machine, algorithm));
  std::vector<double> ends;
  ends.reserve(requests.size());
  for (const CollectiveRequest& request : requests) {
    ends.push_back(timeline.ranks[request.devices.front().index()][0][0].end.value);
  }
  return ends;
}

inline double time_of(const CollectiveRequest& request, const Machine& machine,
                      CollectiveFunction algorithm) {
  return end_times({request}, machine, algorithm).front();
}

}  // namespace foretrain::testing
