// The questions that playing a program raises, and that a platform answers: how long is a kernel,
// which flows is a collective.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"
#include "sim/program/kernel.hpp"
#include "sim/program/network.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// What a program costs on a platform. The engine asks; platforms and strategies answer. Answers
/// must not depend on when or how often they are asked for.
class CostModel {
 public:
  virtual ~CostModel() = default;
  [[nodiscard]] virtual const Network& network() const = 0;
  /// Time of one kernel that has the device to itself.
  [[nodiscard]] virtual Seconds kernel_time(const Kernel& kernel, DeviceId device) const = 0;
  /// How one collective of `devices` (in the order of the group) is carried out.
  [[nodiscard]] virtual FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                                const std::vector<DeviceId>& devices) const = 0;
  [[nodiscard]] virtual FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                                    DeviceId to) const = 0;

  /// How bytes get from a device to the memory of its host, or back, or how the host works through
  /// them. Refused with an InternalError unless a platform knows better.
  [[nodiscard]] virtual FlowSchedule host_copy(DeviceId device, CopyDirection direction,
                                               Bytes bytes) const;

  /// Devices of one kind take the same time for every kernel. Unless a platform knows better, no
  /// two devices are of one kind.
  [[nodiscard]] virtual std::size_t device_kind(DeviceId device) const { return device.index(); }

  /// Whether kernel_factor() is ever other than 1. Then no two ranks need have one timeline.
  [[nodiscard]] virtual bool is_jittered() const { return false; }
  /// Factor on the time of the run of kernels that is op number `op` of a rank's stream.
  [[nodiscard]] virtual double kernel_factor(Rank, std::size_t, std::size_t) const { return 1; }

  // The same questions about the communicators, messages and ranks of a program.
  [[nodiscard]] virtual FlowSchedule collective_of(const Program& program, GroupId group,
                                                   CollectiveKind kind, Bytes payload) const;
  [[nodiscard]] virtual FlowSchedule message_of(const Program& program, Rank from, Rank to,
                                                std::uint32_t channel, Bytes payload) const;
  [[nodiscard]] virtual FlowSchedule host_copy_of(const Program& program, Rank rank,
                                                  CopyDirection direction, Bytes bytes) const;
};

}  // namespace foretrain
