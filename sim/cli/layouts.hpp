// Runs whose layout is open, for the commands that choose one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/cli/cli.hpp"
#include "sim/study/plan/mixed.hpp"
#include "sim/study/plan/plan.hpp"

namespace foretrain::cli {

/// The same run without its size, [parallel] and what was measured of it.
[[nodiscard]] RunOptions without_layout(RunOptions options);

/// Simulates it with these keys set, on as many nodes as they say.
[[nodiscard]] PlanPoint predict_layout(const RunOptions& open,
                                       const std::vector<std::string>& sets);

/// What is known of the price and the power of a cluster's GPUs.
[[nodiscard]] Economics economics_of(const Cluster& cluster, const EconomicsChoice& choice = {});

/// How a study of unlike nodes is done.
struct NodeStudy {
  std::int64_t nodes = 1;
  std::size_t candidates = 5;
  std::size_t jobs = 1;
  EconomicsChoice economics;
};
/// Which of unlike nodes to use, of so many; nothing where nodes are alike.
[[nodiscard]] std::vector<NodeChoice> choose_nodes(const LoadedRun& base, const RunOptions& open,
                                                   const NodeStudy& study);

}  // namespace foretrain::cli
