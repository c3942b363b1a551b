// Carries out a sweep: hands points to worker processes and writes each result to the journal when
// it comes, so that a sweep that is killed loses only the points in flight.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/study/sweep/grid.hpp"
#include "sim/study/sweep/interrupt.hpp"
#include "sim/study/sweep/journal.hpp"

namespace foretrain::sweep {

/// A point that is ready to be predicted, or known to be none.
struct Prepared {
  std::string config_hash;
  std::string refusal;  ///< why this run cannot be; empty when it can
  /// Computes the result, in a worker process. Throws ConfigError to refuse.
  std::function<std::string()> predict;
};
using Prepare = std::function<Prepared(const std::vector<Assignment>&)>;

struct Tally {
  std::uint64_t total = 0;     ///< points of this shard
  std::uint64_t known = 0;     ///< of them, in the journal from before
  std::uint64_t computed = 0;  ///< written to the journal now
  std::uint64_t crashed = 0;   ///< of those computed
  int signal = 0;              ///< that ended it early; 0 when it went through

  [[nodiscard]] std::uint64_t done() const { return known + computed; }
};
using SweepProgress = std::function<void(const Tally&)>;

/// Goes through the points of a shard in their order, past those that the journal knows, `jobs` at
/// a time. A point whose worker dies is tried once more. Ends early when `interrupt` says so.
[[nodiscard]] Tally run_sweep(const Grid& grid, const Shard& shard, Journal& journal,
                              std::size_t jobs, const Prepare& prepare, Interrupt& interrupt,
                              const SweepProgress& progress = {});

/// Unites journals in the one at `path`, which is made when it is not there, and returns that.
/// Throws ConfigError when they are of different sweeps, inputs or versions, or when two of them
/// have different results for one point.
[[nodiscard]] Journal merge(const std::string& path, const std::vector<std::string>& parts);

}  // namespace foretrain::sweep
