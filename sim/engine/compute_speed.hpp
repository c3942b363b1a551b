// How fast the ranks compute while communications take a share of their hardware.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "sim/core/ids.hpp"
#include "sim/core/units.hpp"

namespace foretrain {

/// From `since` on, work of one second takes 1 / speed seconds.
struct SpeedChange {
  Seconds since;
  double speed = 1;
};

/// Follows work through the speeds at which it was done.
class WorkClock {
 public:
  /// REQUIRES: `changes` outlives this; changes[first] is in force at `start`.
  WorkClock(const std::vector<SpeedChange>& changes, std::size_t first, Seconds start)
      : changes_(changes), next_(first + 1), now_(start), speed_(changes[first].speed) {}

  /// When this much more work was done.
  Seconds after(Seconds work);
  /// How much work is done from here to `end`.
  Seconds until(Seconds end);

 private:
  void go_to_next_change();

  const std::vector<SpeedChange>& changes_;
  std::size_t next_;
  Seconds now_;
  double speed_;
};

/// The speed of every rank: the product of 1 - share over the communications that it has in flight,
/// computed from their counts and not step by step, so that equal counts give equal bits.
class ComputeSpeeds {
 public:
  /// `shares` are all that communications take (distinct, above 0 and below 1); a rank has at most
  /// `most` communications in flight at once. Without shares no rank is ever slowed.
  ComputeSpeeds(std::vector<double> shares, std::size_t most, std::size_t num_ranks);

  [[nodiscard]] bool is_constant() const { return shares_.empty(); }
  /// Every speed that a rank may have; 1 comes first.
  [[nodiscard]] const std::vector<double>& levels() const { return levels_; }
  [[nodiscard]] double slowest() const;

  /// A communication of the rank begins or ends. Returns the level that it computes at from now on.
  std::size_t begin(Rank rank, double share, Seconds now);
  std::size_t end(Rank rank, double share, Seconds now);

  /// From here on the rank's changes are kept, until unwatch() was called as often. Returns which
  /// of changes() is in force.
  [[nodiscard]] std::size_t watch(Rank rank);
  void unwatch(Rank rank) { --ranks_[rank.index()].watchers; }
  [[nodiscard]] const std::vector<SpeedChange>& changes(Rank rank) const {
    return ranks_[rank.index()].changes;
  }

 private:
  using Counts = std::vector<std::uint32_t>;  // communications in flight, by share

  struct OfRank {
    Counts counts;
    std::vector<SpeedChange> changes;
    std::size_t watchers = 0;
  };

  void add_levels(Counts& counts, std::size_t share, std::size_t left);
  [[nodiscard]] double speed_with(const Counts& counts) const;
  [[nodiscard]] std::size_t index_of(double share) const;
  std::size_t change(OfRank& rank, Seconds now);

  std::vector<double> shares_;
  std::map<Counts, std::size_t> known_;  // number of the level
  std::vector<double> levels_;
  std::vector<OfRank> ranks_;
};

}  // namespace foretrain
