// The order of passes that interleaved schedules share: micro-batches go through in groups, one
// chunk after the other.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

/// Micro-batches of a group: as many as stages where the run does not choose.
[[nodiscard]] inline std::int32_t group_size(const PipelineShape& shape) {
  const std::int32_t group = shape.micro_batch_group > 0 ? shape.micro_batch_group : shape.stages;
  return std::max(1, std::min(group, shape.micro_batches));
}

/// The k-th forward of every stage; the k-th backward is the same with the chunks mirrored. The
/// last group may be smaller. REQUIRES: 0 <= k < micro_batches x virtual_stages.
[[nodiscard]] inline Slot interleaved_slot(const PipelineShape& shape, std::int32_t k,
                                           SlotKind kind) {
  const std::int32_t whole = group_size(shape);
  const std::int32_t group = k / (whole * shape.virtual_stages);
  const std::int32_t size = std::max(1, std::min(whole, shape.micro_batches - group * whole));
  const std::int32_t within = k - group * whole * shape.virtual_stages;
  const std::int32_t chunk = within / size;
  return {kind, group * whole + within % size,
          kind == SlotKind::forward ? chunk : shape.virtual_stages - 1 - chunk};
}

}  // namespace foretrain
