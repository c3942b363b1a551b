// Plays a Program on a Network: when every op of every rank starts and ends.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "sim/core/units.hpp"
#include "sim/program/cost_model.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// When an op was reached, when what it needs was there, and when it was over. A kernel is ready at
/// once; a collective when the last member has come; a receive when its sender has; a wait when it
/// ends.
struct Span {
  Seconds start;
  Seconds ready;
  Seconds end;
};

/// Spans parallel to Program: ranks[r][stream][op].
struct Timeline {
  std::vector<std::vector<std::vector<Span>>> ranks;
  Seconds end;                 ///< of the last op of any rank
  std::size_t activities = 0;  ///< sleeps, executions and transfers of SimGrid
  std::size_t events = 0;      ///< ops that were played
};

/// Called now and then with the simulated time; for progress on a terminal.
using Progress = std::function<void(Seconds)>;

/// REQUIRES: verify(program) holds. Throws InternalError when a stream cannot finish.
[[nodiscard]] Timeline play(const Program& program, const CostModel& costs,
                            const Progress& progress = {});

}  // namespace foretrain
