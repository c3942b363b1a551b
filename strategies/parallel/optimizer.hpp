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

/// Where embeddings are tied the first and the last stage sum their gradients of the one table.
void sum_tied_embedding(const Run& run, const StageShape& shape, BodyWriter& writer);

/// The end of the step: the gradients' norm, the optimizer's pass over this rank's share of the
/// parameters. Where stages end one by one, nobody waits for the other stages' part of the norm: it
/// goes from stage to stage beside the activations, and is validated later.
void write_update(const Run& run, const StageShape& shape, BodyWriter& writer);

}  // namespace foretrain
