// Answers the engine's questions from a platform: kernel times from the GPU, flows from the
// machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "platforms/cluster.hpp"
#include "sim/program/cost_model.hpp"
#include "strategies/collective/collective.hpp"
#include "strategies/variation.hpp"

namespace foretrain {

class PlatformCosts : public CostModel {
 public:
  /// REQUIRES: the machine outlives this. Degraded links are the machine's business.
  explicit PlatformCosts(const Machine& machine, Variation variation = {},
                         std::vector<ForcedCollective> forced = {});

  [[nodiscard]] const Network& network() const override { return machine_.network(); }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override;
  /// Throws ConfigError when the algorithm that is forced for the kind cannot serve the group.
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override;
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override;
  /// REQUIRES: the machine has hosts.
  [[nodiscard]] FlowSchedule host_copy(DeviceId device, CopyDirection direction,
                                       Bytes bytes) const override;
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override;
  [[nodiscard]] bool is_jittered() const override { return variation_.kernel_jitter > 0; }
  [[nodiscard]] double kernel_factor(Rank rank, std::size_t stream, std::size_t op) const override;

 private:
  [[nodiscard]] double speed(DeviceId device) const;
  [[nodiscard]] FlowSchedule flows_of(const CollectiveRequest& request) const;
  /// What a communication of these devices takes of their compute rate.
  [[nodiscard]] double compute_share(std::span<const DeviceId> devices) const;

  const Machine& machine_;
  Variation variation_;
  std::vector<double> speeds_;            // all that devices have, in order; the normal one is 1
  std::vector<ForcedCollective> forced_;  // at most one for each kind
};

}  // namespace foretrain
