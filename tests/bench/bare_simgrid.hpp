// The yardstick: the sleeps and transfers of a played program, carried out by a plain SimGrid loop.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sim/engine/engine.hpp"

namespace foretrain::bench {

struct BareSleep {
  double seconds = 0;
};
struct BareTransfer {
  std::size_t route = 0;
  double bytes = 0;
};
struct BareStep {
  bool is_transfer = false;
  BareSleep sleep;
  BareTransfer transfer;
};

/// One list of sleeps and transfers per actor, and the links of every route.
struct BareLoad {
  std::vector<std::vector<BareStep>> actors;
  std::vector<std::vector<std::size_t>> routes;
  std::vector<double> link_capacities;
  std::size_t num_activities = 0;
};

/// The fewest activities that any engine needs for a program, without the waiting of streams for
/// one another: a collective is done by its first member, a message by its sender, and all that a
/// stream does in between is one sleep.
[[nodiscard]] BareLoad bare_load(const Program& program, const CostModel& costs);

/// CPU time of this process so far.
[[nodiscard]] double cpu_seconds();

/// Runs the load; returns the CPU time of SimGrid's own run in seconds.
double run_bare(const BareLoad& load);

}  // namespace foretrain::bench
