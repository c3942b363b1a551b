// FakeCosts with hosts: devices in pairs on one host, whose memory they share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tests/support/fake_costs.hpp"

namespace foretrain::testing {

/// A copy to the host crosses the device's way out and the memory of its host, one to the device
/// the memory and the way in; the host's own work crosses the memory alone.
class HostCosts : public FakeCosts {
 public:
  HostCosts(std::size_t num_devices, BytesPerSecond rate, BytesPerSecond memory_rate)
      : FakeCosts(num_devices, rate), network_(FakeCosts::network()) {
    first_memory_ = network_.links.size();
    for (std::size_t host = 0; 2 * host < num_devices; ++host) {
      network_.links.push_back({"memory " + std::to_string(host), memory_rate});
    }
  }

  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] FlowSchedule host_copy(DeviceId device, CopyDirection direction,
                                       Bytes bytes) const override {
    Flow flow{bytes, {LinkId(first_memory_ + device.index() / 2)}, BytesPerSecond(0)};
    if (direction == CopyDirection::to_host) {
      flow.links.push_back(LinkId(2 * device.index()));
    } else if (direction == CopyDirection::to_device) {
      flow.links.push_back(LinkId(2 * device.index() + 1));
    }
    return {{FlowPhase{Seconds(0), {std::move(flow)}}}, 0};
  }

 private:
  Network network_;
  std::size_t first_memory_ = 0;
};

}  // namespace foretrain::testing
