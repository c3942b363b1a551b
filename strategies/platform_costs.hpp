// Answers the engine's questions from a platform: kernel times from the GPU, flows from the
// machine. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/program/cost_model.hpp"
#include "strategies/collective/collective.hpp"

namespace foretrain {

class PlatformCosts : public CostModel {
 public:
  /// REQUIRES: the machine outlives this.
  explicit PlatformCosts(const Machine& machine, std::vector<ForcedCollective> forced = {})
      : machine_(machine), forced_(std::move(forced)) {}

  [[nodiscard]] const Network& network() const override { return machine_.network(); }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override;
  /// Throws ConfigError when the algorithm that is forced for the kind cannot serve the group.
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override;
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override;
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
    return machine_.kind_of(machine_.node_of(device));
  }

 private:
  const Machine& machine_;
  std::vector<ForcedCollective> forced_;  // at most one for each kind
};

}  // namespace foretrain
