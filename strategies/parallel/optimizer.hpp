// Model states and their update: what a rank holds, and the optimizer's part of the step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/stage.hpp"

namespace foretrain {

/// Bytes per parameter, before sharding: 16-bit or fp32 parameters; gradients as the stack keeps
/// them; fp32 master copy (for 16-bit training) and Adam's two moments (Rajbhandari et al. 2020).
[[nodiscard]] Bytes parameter_bytes(const Run& run);
[[nodiscard]] Bytes optimizer_state_bytes(const Run& run);

/// Declares what is held from before the step until after it.
void hold_model_states(const Run& run, const StageShape& shape, BodyWriter& writer);

/// The end of the step: tied embeddings summed, the gradients' norm, the optimizer's pass over this
/// rank's share of the parameters.
void write_update(const Run& run, const StageShape& shape, BodyWriter& writer);

}  // namespace foretrain
