// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/placement.hpp"

namespace foretrain {

std::int32_t num_places(ChunkPlacement placement, const PipelineShape& shape) {
  return placement == ChunkPlacement::both_ways ? shape.stages
                                                : shape.stages * shape.virtual_stages;
}

std::int32_t place_of(ChunkPlacement placement, const PipelineShape& shape, std::int32_t stage,
                      std::int32_t chunk) {
  if (placement == ChunkPlacement::round_robin || chunk == 0) {
    return chunk * shape.stages + stage;
  }
  return num_places(placement, shape) - 1 - stage;
}

bool goes_up(ChunkPlacement placement, std::int32_t chunk) {
  return placement == ChunkPlacement::round_robin || chunk == 0;
}

bool hands_to_itself(ChunkPlacement placement, const PipelineShape& shape, std::int32_t stage,
                     std::int32_t chunk) {
  return placement == ChunkPlacement::v_shape && stage == shape.stages - 1 && chunk == 0;
}

bool gets_from_itself(ChunkPlacement placement, const PipelineShape& shape, std::int32_t stage,
                      std::int32_t chunk) {
  return placement == ChunkPlacement::v_shape && stage == shape.stages - 1 && chunk == 1;
}

MicroBatches micro_batches_of(ChunkPlacement placement, const PipelineShape& shape,
                              std::int32_t chunk) {
  if (placement != ChunkPlacement::both_ways) {
    return {0, shape.micro_batches};
  }
  const std::int32_t half = shape.micro_batches / 2;
  return {chunk * half, half};
}

}  // namespace foretrain
