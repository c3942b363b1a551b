// Plays a program in full and lumped, and compares every op of every rank.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "sim/engine/engine.hpp"
#include "sim/lump/lump.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {

/// Both timelines of a program.
struct Both {
  Lumped lumped;
  Timeline quotient;
  Timeline full;

  [[nodiscard]] std::size_t num_simulated() const { return lumped.originals.size(); }
};

/// The largest difference of two spans' times, relative to the end of the step.
inline double largest_difference(const Both& both) {
  double largest = 0;
  for (std::size_t rank = 0; rank < both.full.ranks.size(); ++rank) {
    const auto& streams = both.full.ranks[rank];
    const auto& others = both.quotient.ranks[both.lumped.simulated[rank].index()];
    REQUIRE(streams.size() == others.size());
    for (std::size_t s = 0; s < streams.size(); ++s) {
      REQUIRE(streams[s].size() == others[s].size());
      for (std::size_t i = 0; i < streams[s].size(); ++i) {
        for (const Seconds difference :
             {streams[s][i].start - others[s][i].start, streams[s][i].ready - others[s][i].ready,
              streams[s][i].end - others[s][i].end}) {
          largest = std::max(largest, std::abs(difference.value));
        }
      }
    }
  }
  return both.full.end.value > 0 ? largest / both.full.end.value : largest;
}

inline Both play_both(const Program& program, const CostModel& costs) {
  Both both;
  verify(program);
  both.lumped = lump(program, costs);
  verify(both.lumped.program);
  both.quotient = play(both.lumped.program, *both.lumped.costs);
  both.full = play(program, costs);
  return both;
}

/// How many pairs of platform and plan were compared, and how many became smaller by lumping.
struct Tally {
  std::size_t pairs = 0;
  std::size_t smaller = 0;

  void compare(const Program& program, const CostModel& costs) {
    const Both both = play_both(program, costs);
    CHECK(largest_difference(both) < 1e-9);
    ++pairs;
    smaller += both.num_simulated() < program.ranks.size() ? 1 : 0;
  }
};

}  // namespace foretrain::testing
