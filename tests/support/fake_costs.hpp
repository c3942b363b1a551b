// A CostModel with round numbers, for tests that derive times by hand.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/engine/engine.hpp"

namespace foretrain::testing {

/// Every kernel takes a microsecond, on a device of kind k one and k more; every device has one way
/// out and one way in; a collective is one flow over all members' ways of its payload, after a
/// latency.
class FakeCosts : public CostModel {
 public:
  FakeCosts(std::size_t num_devices, BytesPerSecond rate, Seconds latency = Seconds(0))
      : latency_(latency) {
    for (std::size_t device = 0; device < num_devices; ++device) {
      network_.links.push_back({"out " + std::to_string(device), rate});
      network_.links.push_back({"in " + std::to_string(device), rate});
    }
  }

  [[nodiscard]] Link& way_out(DeviceId device) { return network_.links[2 * device.index()]; }

  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] Seconds kernel_time(const Kernel&, DeviceId device) const override {
    return Seconds(1e-6 * static_cast<double>(1 + device_kind(device)));
  }
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
    const auto found = kinds_.find(device);
    return found == kinds_.end() ? 0 : found->second;
  }
  void set_kind(DeviceId device, std::size_t kind) { kinds_[device] = kind; }
  [[nodiscard]] FlowSchedule collective(CollectiveKind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override {
    Flow flow{payload, {}, BytesPerSecond(0)};
    for (const DeviceId device : devices) {
      flow.links.push_back(LinkId(2 * device.index()));
      flow.links.push_back(LinkId(2 * device.index() + 1));
    }
    return {{FlowPhase{latency_, {std::move(flow)}}}, compute_share_};
  }
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override {
    Flow flow{payload, {LinkId(2 * from.index()), LinkId(2 * to.index() + 1)}, BytesPerSecond(0)};
    return {{FlowPhase{latency_, {std::move(flow)}}}, compute_share_};
  }
  /// What a communication takes of its members' compute rate from here on.
  void set_compute_share(double share) { compute_share_ = share; }

 private:
  Network network_;
  Seconds latency_;
  double compute_share_ = 0;
  std::map<DeviceId, std::size_t> kinds_;
};

}  // namespace foretrain::testing
