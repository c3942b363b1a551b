// What a stage holds all the time, and what is left to do when its last backward is over: gradients
// to sum, the norm, the optimizer, parameters to gather.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "sim/study/search/data_times.hpp"
#include "sim/study/search/laid_out.hpp"

namespace foretrain {

struct StageEnd {
  Bytes resident;               ///< held from before the step until after it
  double slack = 0;             ///< times the most that comes and goes
  DataTimes dense;              ///< parameters but those of experts on a grid of their own
  DataTimes experts;            ///< those
  double exposed = 0;           ///< share of overlapped sums that waits for the end
  Seconds before_norm;          ///< the kernel that takes the norm
  bool waits_for_norm = false;  ///< of all stages
  Seconds after_norm;           ///< the update, and parameters that are gathered after it
  Seconds tied;                 ///< summing the gradients of tied embeddings with the other end
  Seconds host_work;  ///< of the node's host on the states of all ranks of this stage on it
};

class StepEnds {
 public:
  /// REQUIRES: outlives this.
  explicit StepEnds(LeastCosts& costs) : costs_(costs) {}
  /// The reference stays good. Recomputation and micro-batch make no difference.
  const StageEnd& end(const Run& run, const RankGrid& grid, std::size_t column, std::int64_t stage);

 private:
  using Key = std::array<std::int64_t, 11>;

  StageEnd make(const Run& run, const RankGrid& grid, std::size_t column, std::int64_t stage);
  void add_update(const Run& run, const Layout& layout, const RankPlace& place,
                  const StageShape& shape, StageEnd& end);
  void add_host(const Run& run, const Layout& layout, const RankPlace& place,
                const StageShape& shape, bool is_alike, StageEnd& end);

  LeastCosts& costs_;
  std::map<Key, StageEnd> ends_;
};

}  // namespace foretrain
