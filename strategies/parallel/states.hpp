// The widths of model states: what a run file may say about them, and what a run holds.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "sim/config/reader.hpp"
#include "sim/program/kernel.hpp"
#include "strategies/optimizer/optimizer.hpp"

namespace foretrain {

struct Run;

/// Widths that a run asks for; what is left out is as the stack has it.
struct StateWidths {
  std::optional<Dtype> gradient;       ///< the sum over micro-batches, in memory and on the wire
  std::optional<Dtype> main_gradient;  ///< a copy of it that the optimizer keeps for its share
  std::optional<Dtype> gathered;       ///< parameters on their way between ranks under ZeRO
  std::optional<Bytes> master;         ///< the copy that is updated; 0: none
  std::optional<Dtype> state;          ///< momentum and variance

  config::Position gradient_position;
  config::Position main_gradient_position;
  config::Position gathered_position;
  config::Position master_position;
  config::Position state_position;
};

/// Reads the keys of [training] that are about widths.
[[nodiscard]] StateWidths read_state_widths(config::Reader& training);
/// Widths that cannot take effect in this run.
void check_state_widths(const Run& run, config::Diagnostics& diagnostics);

/// Bytes of one number of each kind, before sharding.
[[nodiscard]] StateSizes state_sizes(const Run& run);
/// The same without what the run asks for: what a stack's own numbers are about.
[[nodiscard]] StateSizes state_sizes_of_stack(const Run& run);
/// Bytes of a gradient in memory and on the wire.
[[nodiscard]] Bytes gradient_size(const Run& run);
/// Bytes per parameter of the copy of the gradients that the optimizer keeps; 0: none. What casting
/// takes is among the stack's optimizer_bytes_per_parameter.
[[nodiscard]] Bytes main_gradient_bytes(const Run& run);
/// Bytes of a parameter that ranks send to one another under ZeRO.
[[nodiscard]] Bytes gathered_size(const Run& run);

}  // namespace foretrain
