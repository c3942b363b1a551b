// Where the time of a step goes: every instant of a rank's step belongs to exactly one cause.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/engine/engine.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// Whole picoseconds, so that the parts of a step add up to it exactly. 106 days fit.
struct Picoseconds {
  std::int64_t count = 0;

  auto operator<=>(const Picoseconds&) const = default;
  Picoseconds& operator+=(Picoseconds other) {
    count += other.count;
    return *this;
  }
  [[nodiscard]] Seconds seconds() const { return Seconds(static_cast<double>(count) / 1e12); }
};
[[nodiscard]] Picoseconds to_picoseconds(Seconds time);

/// Seen from the compute stream: its kernels by phase; while it waits, communication that is under
/// way is exposed, and everything else (a neighbour that is not ready) is bubble.
struct Breakdown {
  Picoseconds step;
  Picoseconds compute;  ///< forward and backward kernels
  Picoseconds recompute;
  Picoseconds optimizer;
  Picoseconds host;
  Picoseconds compression;  ///< coding and decoding, beside which nothing else ran
  Picoseconds bubble;
  std::map<std::string, Picoseconds> exposed;  ///< by parallel axis; "host": copies to and from it

  /// The sum of all parts; equals `step`.
  [[nodiscard]] Picoseconds total() const;
};

[[nodiscard]] Breakdown breakdown(const Program& program, const Timeline& timeline, Rank rank);

/// A cause and its share of the step.
using StepShare = std::pair<std::string, double>;
/// All but forward, backward and recomputation: the bubble, the optimizer, the host, compression
/// where there is any, and what is exposed, by axis. In this order.
[[nodiscard]] std::vector<StepShare> overheads(const Breakdown& parts);
/// The largest of them and of recomputation.
[[nodiscard]] StepShare largest_overhead(const Breakdown& parts);

/// A rank with a timeline, and how many ranks have the same.
struct WeightedRank {
  Rank rank;
  std::size_t weight = 1;
};

/// The mean over ranks, in whole picoseconds that still add up (largest remainders first).
[[nodiscard]] Breakdown mean_breakdown(const Program& program, const Timeline& timeline,
                                       const std::vector<WeightedRank>& ranks);
/// Over all ranks of a program.
[[nodiscard]] Breakdown mean_breakdown(const Program& program, const Timeline& timeline);

}  // namespace foretrain
