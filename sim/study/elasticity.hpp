// What to buy next: how the step time of one run answers to each number of its hardware, by
// simulating the run again with that number changed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/study/scale.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// One number and how much it is changed.
struct ElasticityRow {
  std::string_view what_if;  ///< name of a row of --what-if
  std::string_view amount;   ///< "2x"
  std::string_view words;    ///< "NIC"
};

/// All numbers that are tried, as far as a cluster has them.
[[nodiscard]] std::span<const ElasticityRow> elasticity_rows();

/// What one change brought. Either a step time or the reason why there is none.
struct Elasticity {
  std::string what_if;  ///< "nic=2x"
  std::string number;   ///< "NIC"
  std::string words;    ///< "NIC +100 %"
  Seconds step_time;
  double change = 0;      ///< of the step time: -0.14 is 14 % faster
  double elasticity = 0;  ///< d ln(step time) / d ln(number), over the whole change
  std::string possible;   ///< what more memory makes possible, or why nothing
  std::string refusal;    ///< why the hardware has no such number

  [[nodiscard]] bool is_valid() const { return refusal.empty(); }
};

struct Elasticities {
  ScalePoint base;
  std::vector<Elasticity> rows;  ///< the largest gain first; those without a number last
};

/// Simulates the run with keys set and hardware changed, as --set and --what-if do.
using PredictChanged =
    std::function<ScalePoint(const std::vector<std::string>& sets, const std::string& what_if)>;

/// Tries each row in a worker process. More memory makes a step no faster by itself: it is tried
/// with every policy of recomputation that costs less than the run's.
[[nodiscard]] Elasticities elasticities(Recompute recompute, std::size_t jobs,
                                        const PredictChanged& predict,
                                        const WorkersProgress& progress = {});

[[nodiscard]] std::string elasticity_text(const Elasticities& all);

}  // namespace foretrain
