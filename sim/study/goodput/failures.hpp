// When parts of a cluster fail: each part is a renewal process of its own, exponential or Weibull.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain::goodput {

/// Later than anything that happens.
inline constexpr Seconds kNever{std::numeric_limits<double>::infinity()};

/// Parts of one kind, all alike: the GPUs of a job, its nodes, ...
struct Parts {
  std::int64_t count = 0;
  Seconds mean_time = kNever;          ///< between failures of one part
  double shape = 1;                    ///< of the Weibull distribution; 1 is the exponential one
  Seconds age;                         ///< of every part when the run begins
  std::int64_t nodes_lost = 1;         ///< that one failure takes out
  Seconds repair;                      ///< until they are back
  std::optional<Seconds> detection{};  ///< instead of the job's
};

/// Failures of one kind per time, in the long run.
[[nodiscard]] Hertz rate_of(const Parts& parts);

/// Which random numbers a run draws; the same key, the same run.
struct RunKey {
  std::uint64_t seed = 0;
  std::uint64_t run = 0;
};

/// A number in (0, 1) that depends on the key, on what it is for and on its place in that stream.
[[nodiscard]] double draw(const RunKey& key, std::uint64_t stream, std::uint64_t index);

/// The failures of one kind, in order. A part that failed is replaced at once by a new one; parts
/// go on ageing while the job is down. With shape 1 the superposition of all parts is one Poisson
/// process, and is drawn as such; otherwise every part has a clock.
class FailureClock {
 public:
  /// REQUIRES: `stream` is used for nothing else of this run.
  FailureClock(const Parts& parts, const RunKey& key, std::uint64_t stream);

  /// When the next part fails; kNever where none does.
  [[nodiscard]] Seconds next() const;
  /// Goes past that failure. REQUIRES: next() < kNever.
  void advance();

 private:
  [[nodiscard]] Seconds life(Seconds age);

  Parts parts_;
  RunKey key_;
  std::uint64_t stream_;
  std::uint64_t drawn_ = 0;
  double scale_ = 0;             // of the Weibull distribution, in seconds
  std::vector<double> pending_;  // a heap, the earliest on top: one time, or one for each part
};

}  // namespace foretrain::goodput
