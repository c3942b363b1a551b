// The same sweep as a script for other machines: shards, and a merge when they are done.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretrain::sweep {

struct Distribution {
  std::vector<std::string> arguments;  ///< of `foretrain`: sweep, run file, --set, --vary, --zip
  std::string journal;                 ///< that the shards' journals are merged into
  std::uint64_t num_shards = 1;
  std::uint64_t num_points = 0;
  std::size_t jobs = 1;  ///< worker processes of each shard
};

/// The journal of a shard: "sweep.sqlite" -> "sweep-2-of-8.sqlite". `number` is text, so that a
/// script can name one that it does not know yet.
[[nodiscard]] std::string shard_journal(const std::string& journal, const std::string& number,
                                        std::uint64_t num_shards);

/// A Bash script. Run with bash, it submits itself as a job array and the merge to run after that;
/// given to sbatch, it is the array.
[[nodiscard]] std::string slurm_script(const Distribution& distribution);

/// One line for GNU parallel.
[[nodiscard]] std::string parallel_line(const Distribution& distribution);

}  // namespace foretrain::sweep
