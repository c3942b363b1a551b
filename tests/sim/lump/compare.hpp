// Plays a program in full and lumped, and compares every op of every rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "sim/engine/engine.hpp"
#include "sim/lump/lump.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {

/// Both timelines of a program.
struct Both {
  Lumped lumped;
  Timeline quotient;
  Timeline full;

  [[nodiscard]] std::size_t num_simulated() const { return lumped.originals.size(); }
};

/// The largest difference of two spans' times, relative to the end of the step.
inline double largest_difference(const Both& both) {
  double largest = 0;
  for (std::size_t rank = 0; rank < both.full.ranks.size(); ++rank) {
    const auto& streams = both.full.ranks[rank];
    const auto& others = both.quotient.ranks[both.lumped.simulated[rank].index()];
    REQUIRE(streams.size() == others.size());
    for (std::size_t s = 0; s < streams.size(); ++s) {
      REQUIRE(streams[s].size() == others[s].size());
      for (std::size_t i = 0; i < streams[s].size(); ++i) {
        for (const Seconds difference :
             {streams[s][i].start - others[s][i].start, streams[s][i].ready - others[s][i].ready,
              streams[s][i].end - others[s][i].end}) {
          largest = std::max(largest, std::abs(difference.value));
        }
      }
    }
  }
  return both.full.end.value > 0 ? largest / both.full.end.value : largest;
}

inline Both play_both(const Program& program, const CostModel& costs) {
  Both both;
  verify(program);
  both.lumped = lump(program, costs);
  verify(both.lumped.program);
  both.quotient = play(both.lumped.program, *both.lumped.costs);
  both.full = play(program, costs);
  return both;
}

/// The same answers, with every kernel longer by what SimGrid's clock is rounded to in a process
/// that has simulated a second or two.
class NudgedCosts : public CostModel {
 public:
  explicit NudgedCosts(const CostModel& costs) : costs_(costs) {}
  [[nodiscard]] const Network& network() const override { return costs_.network(); }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override {
    return costs_.kernel_time(kernel, device) + Seconds(2.2e-16);
  }
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override {
    return costs_.collective(kind, payload, devices);
  }
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override {
    return costs_.point_to_point(payload, from, to);
  }
  [[nodiscard]] FlowSchedule host_copy(DeviceId device, CopyDirection direction,
                                       Bytes bytes) const override {
    return costs_.host_copy(device, direction, bytes);
  }

 private:
  const CostModel& costs_;
};

/// How far rounding carries a full run: contention may magnify it, when a flow that starts a little
/// later shares a link a little longer, and the next one starts later still.
inline double magnified_rounding(const Program& program, const CostModel& costs, const Both& both) {
  Both nudged;
  nudged.full = both.full;
  nudged.quotient = play(program, NudgedCosts(costs));
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    nudged.lumped.simulated.push_back(Rank(rank));
  }
  return largest_difference(nudged);
}

/// How many pairs of platform and plan were compared, how many became smaller by lumping, and how
/// many magnify rounding beyond 1e-9: there lumping may do as much as rounding the clock does.
struct Tally {
  std::size_t pairs = 0;
  std::size_t smaller = 0;
  std::size_t unstable = 0;

  void compare(const Program& program, const CostModel& costs) {
    const Both both = play_both(program, costs);
    const double difference = largest_difference(both);
    const bool is_unstable =
        difference >= 1e-9 && magnified_rounding(program, costs, both) > difference / 10;
    CHECK((difference < 1e-9 || is_unstable));
    unstable += is_unstable ? 1 : 0;
    ++pairs;
    smaller += both.num_simulated() < program.ranks.size() ? 1 : 0;
  }
};

}  // namespace foretrain::testing
