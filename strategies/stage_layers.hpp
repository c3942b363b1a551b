// How many layers each chunk of each pipeline stage holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "strategies/plan.hpp"

namespace foretrain {

/// Layers of a chunk: as many as in every other one, or as the run file deals them out. The chunks
/// follow one another through the model as the schedule places them.
[[nodiscard]] std::int64_t layers_of(const Run& run, std::int64_t stage, std::int64_t chunk);
/// Global number of the first layer of a chunk, from 0: the layers of all places before it.
[[nodiscard]] std::int64_t first_layer_of(const Run& run, std::int64_t stage, std::int64_t chunk);

/// Checks that the layers divide over the stages as the run file says; mistakes go to
/// `diagnostics`.
void check_stage_layers(const RunFile& file, const Run& run, config::Diagnostics& diagnostics);

}  // namespace foretrain
