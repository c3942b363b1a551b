// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/placement.hpp"

namespace foretrain {

std::int32_t num_places(Placement placement, const PipelineShape& shape) {
  return placement == Placement::both_ways ? shape.stages : shape.stages * shape.virtual_stages;
}

std::int32_t place_of(Placement placement, const PipelineShape& shape, std::int32_t stage,
                      std::int32_t chunk) {
  if (placement == Placement::round_robin || chunk == 0) {
    return chunk * shape.stages + stage;
  }
  return num_places(placement, shape) - 1 - stage;
}

bool goes_up(Placement placement, std::int32_t chunk) {
  return placement == Placement::round_robin || chunk == 0;
}

bool hands_to_itself(Placement placement, const PipelineShape& shape, std::int32_t stage,
                     std::int32_t chunk) {
  return placement == Placement::v_shape && stage == shape.stages - 1 && chunk == 0;
}

bool gets_from_itself(Placement placement, const PipelineShape& shape, std::int32_t stage,
                      std::int32_t chunk) {
  return placement == Placement::v_shape && stage == shape.stages - 1 && chunk == 1;
}

MicroBatches micro_batches_of(Placement placement, const PipelineShape& shape, std::int32_t chunk) {
  if (placement != Placement::both_ways) {
    return {0, shape.micro_batches};
  }
  const std::int32_t half = shape.micro_batches / 2;
  return {chunk * half, half};
}

}  // namespace foretrain
