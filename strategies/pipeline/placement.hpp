// Where the chunks of a stage lie in the model, and whom a stage hands activations to.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

/// Places that the layers are dealt out over.
[[nodiscard]] std::int32_t num_places(ChunkPlacement placement, const PipelineShape& shape);
/// Where in the model a chunk is, from 0. REQUIRES: 0 <= stage < stages, and of v_shape and
/// both_ways 0 <= chunk < 2.
[[nodiscard]] std::int32_t place_of(ChunkPlacement placement, const PipelineShape& shape,
                                    std::int32_t stage, std::int32_t chunk);

/// Whether activations of a chunk come from the stage before and go to the stage after, the last
/// one's to the first; else the other way.
[[nodiscard]] bool goes_up(ChunkPlacement placement, std::int32_t chunk);
/// Whether the chunk at the place after this one (or before) is on the same stage: no message.
[[nodiscard]] bool hands_to_itself(ChunkPlacement placement, const PipelineShape& shape,
                                   std::int32_t stage, std::int32_t chunk);
[[nodiscard]] bool gets_from_itself(ChunkPlacement placement, const PipelineShape& shape,
                                    std::int32_t stage, std::int32_t chunk);

/// Micro-batches that pass through a chunk: those from `first` on.
struct MicroBatches {
  std::int32_t first = 0;
  std::int32_t count = 0;
};
[[nodiscard]] MicroBatches micro_batches_of(ChunkPlacement placement, const PipelineShape& shape,
                                            std::int32_t chunk);

/// Ranks with the same parameters in one column of a pipeline.
[[nodiscard]] inline std::int32_t copies(ChunkPlacement placement) {
  return placement == ChunkPlacement::both_ways ? 2 : 1;
}

}  // namespace foretrain
