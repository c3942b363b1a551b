// Exact lumping: ranks that must have the same timeline are simulated once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "sim/program/cost_model.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// Something that tells ranks apart, though they run the same body.
struct Difference {
  std::string cause;            ///< "node 17 nic 0 out has 25 GB/s instead of 50"
  std::size_t num_classes = 0;  ///< of ranks that differ by it from most of their kind
};

/// A smaller program whose ranks have the timelines of all ranks of the original.
struct Lumped {
  Program program;
  std::unique_ptr<CostModel> costs;     ///< of `program`; knows its groups and channels by number
  std::vector<Rank> originals;          ///< by simulated rank: the first of those it stands for
  std::vector<Rank> simulated;          ///< by original rank: who stands for it
  std::vector<std::size_t> num_ranks;   ///< by simulated rank: for how many it stands
  std::vector<Difference> differences;  ///< why there are more simulated ranks than bodies
};

/// REQUIRES: verify(program) holds; `costs` is not jittered and outlives the result. The result
/// verifies as well.
[[nodiscard]] Lumped lump(const Program& program, const CostModel& costs);

}  // namespace foretrain
