// SPDX-License-Identifier: Apache-2.0
#include "strategies/platform_costs.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/core/random.hpp"
#include "strategies/collective/collective.hpp"

namespace foretrain {

PlatformCosts::PlatformCosts(const Machine& machine, Variation variation,
                             std::vector<ForcedCollective> forced)
    : machine_(machine),
      variation_(std::move(variation)),
      speeds_{1.0},
      forced_(std::move(forced)) {
  speeds_.reserve(1 + variation_.device_speeds.size());
  for (const auto& [device, speed] : variation_.device_speeds) {
    speeds_.push_back(speed);
  }
  std::sort(speeds_.begin(), speeds_.end());
  speeds_.erase(std::unique(speeds_.begin(), speeds_.end()), speeds_.end());
}

double PlatformCosts::speed(DeviceId device) const {
  const auto found = variation_.device_speeds.find(device);
  return found == variation_.device_speeds.end() ? 1.0 : found->second;
}

std::size_t PlatformCosts::device_kind(DeviceId device) const {
  const auto found = std::lower_bound(speeds_.begin(), speeds_.end(), speed(device));
  return machine_.kind_of(machine_.node_of(device)) * speeds_.size() +
         static_cast<std::size_t>(found - speeds_.begin());
}

double PlatformCosts::kernel_factor(Rank rank, std::size_t stream, std::size_t op) const {
  return lognormal_factor(variation_.kernel_jitter, {variation_.seed, rank.value, stream, op});
}

Seconds PlatformCosts::kernel_time(const Kernel& kernel, DeviceId device) const {
  return foretrain::kernel_time(kernel, machine_.gpu_of(device)) / speed(device);
}

double PlatformCosts::compute_share(std::span<const DeviceId> devices) const {
  const std::size_t node = machine_.node_of(devices.front());
  const bool is_inside = std::all_of(devices.begin(), devices.end(), [&](DeviceId device) {
    return machine_.node_of(device) == node;
  });
  const auto& share =
      is_inside ? machine_.inside(node).compute_share : machine_.cluster().fabric.compute_share;
  return share ? share->value : 0;
}

FlowSchedule PlatformCosts::flows_of(const CollectiveRequest& request) const {
  for (const ForcedCollective& forced : forced_) {
    if (forced.kind == request.kind) {
      return force(forced, request, machine_);
    }
  }
  return quickest(request, machine_);
}

FlowSchedule PlatformCosts::collective(CollectiveKind kind, Bytes payload,
                                       const std::vector<DeviceId>& devices) const {
  FlowSchedule schedule = flows_of({kind, payload, devices});
  schedule.compute_share = compute_share(devices);
  return schedule;
}

FlowSchedule PlatformCosts::point_to_point(Bytes payload, DeviceId from, DeviceId to) const {
  FlowSchedule schedule = foretrain::point_to_point(payload, from, to, machine_);
  schedule.compute_share = compute_share(std::array{from, to});
  return schedule;
}

// Large pinned copies: cudaMemcpyAsync starts within 10 us (not modelled), and runs on an engine of
// its own, which takes nothing from computing.
FlowSchedule PlatformCosts::host_copy(DeviceId device, CopyDirection direction, Bytes bytes) const {
  Flow flow{bytes, {}, BytesPerSecond(0)};
  machine_.append_host_route(device, direction, flow.links);
  return {{FlowPhase{Seconds(0), {std::move(flow)}}}, 0};
}

}  // namespace foretrain
