// From a run to the program of one training step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/program/program.hpp"
#include "strategies/parallel/layout.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

[[nodiscard]] Layout layout_of(const Run& run);

/// Groups and ranks alone, without bodies: where everybody is.
[[nodiscard]] Program lay_out(const Run& run);

/// The step of every rank. Ranks of one pipeline stage share a body; rank r runs on device r.
/// A pure function of the run. REQUIRES: the run was checked by resolve().
[[nodiscard]] Program lower(const Run& run);

/// Model FLOPs of one step over all GPUs: three times the forward pass (backward is two), full
/// attention square, recomputation not counted (Narayanan et al., SC'21, eq. 3; Chowdhery et al.
/// 2022, appendix B). Of a frozen linear layer two times, 4 instead of 6 FLOPs per parameter and
/// token, as no gradient of its weights is computed; once where no gradient passes; adapters three
/// times.
[[nodiscard]] Flops model_flops(const Run& run);
/// Model FLOPs plus what recomputation does again.
[[nodiscard]] Flops hardware_flops(const Run& run);

}  // namespace foretrain
