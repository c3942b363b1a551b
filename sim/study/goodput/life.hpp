// One long run of a job on a cluster whose parts fail: what its wall time goes to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "sim/study/goodput/failures.hpp"

namespace foretrain::goodput {

/// What wall time goes to, beside training at the full rate.
enum class Loss : std::uint8_t {
  detection,    ///< from a failure until it is noticed
  replacement,  ///< swapping nodes in, and waiting for some
  restart,      ///< starting processes and reading the checkpoint
  recomputed,   ///< work that was done before, since the last checkpoint
  checkpoints,  ///< training stands while one is written
  maintenance,  ///< planned, with the restart after it
  shrunk,       ///< fewer replicas than at full size
  stragglers    ///< slow nodes that everybody waits for
};
inline constexpr std::size_t kNumLosses = 8;
[[nodiscard]] std::string_view name_of(Loss loss);

struct Checkpointing {
  Seconds interval = kNever;  ///< of work between the starts of two
  Seconds write;              ///< until one is safe
  Seconds stall;  ///< of training; as long as `write` when synchronous, never longer than it
};

/// Nodes that are slow for a while. The job goes at the pace of the slowest.
struct Stragglers {
  Seconds between = kNever;  ///< mean time between two, in the whole job
  Seconds duration;
  double slowdown = 1;  ///< of the step meanwhile
};

struct Maintenance {
  Seconds interval = kNever;  ///< of wall time
  Seconds duration;           ///< without checkpoint and restart
};

/// A run as numbers alone. Work is counted in the time that it takes at full size and rate.
struct Job {
  std::vector<Parts> parts;
  std::int64_t nodes = 1;
  std::int64_t spares = 0;
  Seconds work = kNever;      ///< the run ends when it is done,
  Seconds duration = kNever;  ///< or after this time; one of the two is less than kNever
  Seconds detection;
  Seconds swap;     ///< of nodes for spares, all at once
  Seconds restart;  ///< reading the checkpoint included
  Checkpointing checkpointing;
  std::int64_t shrink_unit = 1;      ///< nodes that are dropped together
  std::vector<double> shrunk_rates;  ///< of work, with 1, 2, ... units dropped; empty: no shrinking
  Stragglers stragglers;
  Maintenance maintenance;
};

struct Tally {
  Seconds wall;
  Seconds useful;                          ///< work that is left in the end
  std::array<Seconds, kNumLosses> lost{};  ///< by Loss; with `useful` they add up to `wall`
  std::vector<std::int64_t> failures;      ///< by Job::parts, those that interrupted the job
  std::int64_t planned = 0;                ///< interruptions
  bool is_finished = false;  ///< the work was done, or the duration is over; a run that takes more
                             ///< than a hundred times its work is given up

  [[nodiscard]] double effective() const { return useful / wall; }
  [[nodiscard]] std::int64_t num_failures() const;
};

/// A failure anywhere in the job stops all of it: it is detected, nodes are replaced by spares or
/// waited for (or done without), processes start, the last safe checkpoint is read, and what came
/// after it is computed again. Failures strike checkpoints and recoveries as well; a recovery that
/// is struck begins again. Nodes come back to the spares when they are repaired; a job that has
/// shrunk grows again after its next checkpoint. Spares do not fail, and neither does anything
/// during maintenance. The same job and key give the same tally.
[[nodiscard]] Tally live(const Job& job, const RunKey& key);

}  // namespace foretrain::goodput
