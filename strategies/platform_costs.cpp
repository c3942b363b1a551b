// SPDX-License-Identifier: Apache-2.0
#include "strategies/platform_costs.hpp"

#include "strategies/collective/collective.hpp"

namespace foretrain {

Seconds PlatformCosts::kernel_time(const Kernel& kernel, DeviceId device) const {
  return foretrain::kernel_time(kernel, machine_.gpu_of(device));
}

FlowSchedule PlatformCosts::collective(CollectiveKind kind, Bytes payload,
                                       const std::vector<DeviceId>& devices) const {
  for (const ForcedCollective& forced : forced_) {
    if (forced.kind == kind) {
      return force(forced, {kind, payload, devices}, machine_);
    }
  }
  return quickest({kind, payload, devices}, machine_);
}

FlowSchedule PlatformCosts::point_to_point(Bytes payload, DeviceId from, DeviceId to) const {
  return foretrain::point_to_point(payload, from, to, machine_);
}

}  // namespace foretrain
