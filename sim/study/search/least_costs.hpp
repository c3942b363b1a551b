// What a rank's kernels and communications take at least: each as if it had all links to itself and
// met nobody. Contention, waiting and shared GPUs only add to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "platforms/cluster.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"

namespace foretrain {

/// A rank of a laid-out run, by its coordinates.
struct RankPlace {
  std::size_t tensor = 0;
  std::size_t data = 0;  ///< replica, context innermost
  std::size_t stage = 0;
};

/// The devices of a communicator slot, in the order of the group; empty where the layout has none.
[[nodiscard]] std::vector<DeviceId> devices_of(const Run& run, const Layout& layout,
                                               const RankPlace& place, std::uint32_t slot);

/// A message takes at least latency + bytes x seconds_per_byte.
struct LeastMessage {
  Seconds latency;
  double seconds_per_byte = 0;
  [[nodiscard]] Seconds time(Bytes payload) const;
};

/// How long a body's compute stream is busy.
struct ComputeTime {
  Seconds
      stream;  ///< from its start to its end: kernels, delays, collectives and what it waits for
  Seconds kernels;  ///< kernels and delays alone
};

class LeastCosts {
 public:
  /// Of the machine at the run's size, with hosts if the run copies to them.
  explicit LeastCosts(const Run& run);

  [[nodiscard]] const Machine& machine() const { return *machine_; }
  [[nodiscard]] std::size_t device_kind(DeviceId device) const {
    return costs_.device_kind(device);
  }
  /// Whether a group of devices takes as long wherever its first node is.
  [[nodiscard]] bool is_uniform() const { return is_uniform_; }
  /// Whether some GPUs are of another kind, or of another speed.
  [[nodiscard]] bool has_unlike_devices() const { return has_unlike_devices_; }
  /// A number for each way in which devices lie; groups of one number take alike.
  [[nodiscard]] std::uint32_t pattern(const std::vector<DeviceId>& devices);

  [[nodiscard]] Seconds collective(CollectiveKind kind, Bytes payload,
                                   const std::vector<DeviceId>& devices);
  /// Seconds for each byte of payload, however much it is: what a collective of 1 TB takes, over
  /// its bytes. Larger payloads are never slower by the byte.
  [[nodiscard]] double seconds_per_byte(CollectiveKind kind, const std::vector<DeviceId>& devices);
  /// The same of several groups that do as much at a time: their bytes share the links that they
  /// have in common, and the last of them to end is told.
  [[nodiscard]] double shared_seconds_per_byte(CollectiveKind kind,
                                               const std::vector<std::vector<DeviceId>>& groups);
  /// Whether GPUs of a node have NICs and ports of their own: groups that differ in their members
  /// on every node then have no link of it in common.
  [[nodiscard]] bool has_links_for_each() const;
  [[nodiscard]] LeastMessage message(DeviceId from, DeviceId to);
  [[nodiscard]] double host_seconds_per_byte(DeviceId device, CopyDirection direction) const;

  /// Plays the streams of one rank that meets nobody; those beside the compute stream are idle from
  /// the start of time. Communicators without devices take nothing.
  [[nodiscard]] ComputeTime compute_time(const Run& run, const Layout& layout,
                                         const RankPlace& place, const Body& body,
                                         const Program& program);
  [[nodiscard]] Seconds kernels(const std::vector<Kernel>& list, DeviceId device) const;

 private:
  [[nodiscard]] Seconds least_time(const FlowSchedule& schedule) const;

  std::unique_ptr<Machine> machine_;
  PlatformCosts costs_;
  bool is_uniform_;
  bool has_degraded_links_;
  bool has_unlike_devices_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> patterns_;
  std::map<std::tuple<CollectiveKind, Bytes, std::uint32_t>, Seconds> collectives_;
  std::map<std::tuple<CollectiveKind, std::size_t, std::uint32_t>, double> shared_;
};

}  // namespace foretrain
