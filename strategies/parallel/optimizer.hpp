// Model states and their update: what a rank holds, and the optimizer's part of the step.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "strategies/optimizer/optimizer.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// The tensors that a rank trains, before sharding. A linear layer's matrices are those whose
/// gradients its backward pass computes; what is left of a block are its norms and biases.
[[nodiscard]] std::vector<ParameterTensor> trained_tensors(const Run& run, const StageShape& shape);

/// Bytes per parameter, before sharding: 16-bit or fp32 parameters; the optimizer's state and the
/// master copy (Rajbhandari et al. 2020, section 3.1), on average over a rank's tensors. Where a
/// stack says what Adam keeps, another optimizer keeps as much more or less as it differs from
/// Adam.
[[nodiscard]] Bytes parameter_bytes(const Run& run);
/// Of all frozen parameters, after sharding.
[[nodiscard]] Bytes frozen_bytes(const Run& run, const StageShape& shape);
[[nodiscard]] Bytes optimizer_state_bytes(const Run& run, const StageShape& shape);
/// Device memory traffic of the update per parameter. The stack's number is Adam's pass and what
/// its framework does around it (unscaling, casts); another optimizer's pass takes the place of
/// Adam's.
[[nodiscard]] Bytes update_traffic(const Run& run, const StageShape& shape);
/// Of the optimizer's own pass, without what a framework does around it.
[[nodiscard]] Bytes own_update_traffic(const Run& run, const StageShape& shape);

/// Declares what is held from before the step until after it.
void hold_model_states(const Run& run, const StageShape& shape, BodyWriter& writer);

/// Where embeddings are tied the first and the last stage sum their gradients of the one table.
void sum_tied_embedding(const Run& run, const StageShape& shape, BodyWriter& writer);

/// The end of the step: the gradients' norm, the optimizer's pass over this rank's share of the
/// parameters, what it tells other ranks and what else it runs. Where stages end one by one, nobody
/// waits for the other stages' part of the norm: it goes from stage to stage beside the
/// activations, and is validated later.
void write_update(const Run& run, const StageShape& shape, BodyWriter& writer);

}  // namespace foretrain
