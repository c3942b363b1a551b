// Runs whose layouts are open, and what a user fixes of them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/study/search/space.hpp"
#include "tests/strategies/small_runs.hpp"

namespace foretrain::testing {

/// GPUs, 8 layers, 8 heads, 8 sequences; attention unfused, no hosts.
inline Run open_run(std::int64_t gpus = 4) {
  Run run = small_run(1, 1, gpus);
  run.training.global_batch = 8;
  return run;
}

inline FixedChoices fixed(const std::vector<std::string>& assignments) {
  config::Sources sources;
  return read_fixed(sources, assignments);
}

}  // namespace foretrain::testing
