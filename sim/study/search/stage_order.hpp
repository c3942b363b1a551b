// What a bound needs to know of the order in which a stage does its slots, whatever they take.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

struct StageOrder {
  std::int32_t first_chunk = 0;  ///< of the first forward
  bool has_pairs = false;        ///< some passes run piece by piece in turn
  /// How many slots of each kind (SlotKind) every chunk has.
  std::vector<std::array<std::int32_t, 4>> counts;
  std::vector<std::int32_t> leading;   ///< by chunk: weight gradients before anything else
  std::int32_t last_gradient = 0;      ///< the chunk that sends a gradient last,
  std::vector<std::int32_t> trailing;  ///< and by chunk the weight gradients after that
  std::int32_t final_chunk = 0;        ///< whose gradients are final last,
  bool is_final_split = false;         ///< after a slot of weight gradients
  /// Forwards whose backward has not run yet: the most at the start of a backward.
  std::int32_t most_in_flight = 0;
};

/// Keeps the orders that were asked for.
class StageOrders {
 public:
  /// REQUIRES: the schedule accepts the shape. The reference stays good.
  const StageOrder& order(const PipelineSchedule& schedule, const PipelineShape& shape,
                          std::int32_t stage);

 private:
  using Key = std::array<std::int32_t, 6>;
  std::map<Key, StageOrder> orders_;
};

}  // namespace foretrain
