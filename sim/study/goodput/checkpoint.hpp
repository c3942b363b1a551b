// What a checkpoint of a run holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/plan.hpp"

namespace foretrain::goodput {

/// Trained parameters and the optimizer's states, once each, however many ranks hold them. Frozen
/// parameters are where they came from.
struct CheckpointSize {
  double parameters = 0;
  Bytes parameter;  ///< of each
  Bytes optimizer;  ///< master copy and states, of each, on average over the stages

  [[nodiscard]] Bytes total() const { return parameters * (parameter + optimizer); }
};

/// With the bytes per parameter that the memory model has for the optimizer itself.
[[nodiscard]] CheckpointSize checkpoint_size(const Run& run);

}  // namespace foretrain::goodput
