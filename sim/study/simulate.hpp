// From a run to a prediction: lower, play, account.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/engine/engine.hpp"
#include "sim/lump/lump.hpp"
#include "sim/program/program.hpp"
#include "sim/report/prediction.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// Which ranks are simulated: one for all that must have the same timeline (exact, see
/// sim/lump/lump.cpp), or each on its own. With kernel jitter each is on its own anyway.
enum class Fidelity : std::uint8_t { lumped, full };

/// A simulated step with all that a report may want to look into.
struct Simulation {
  Program program;
  Timeline timeline;            ///< of `program`; ranks that were not simulated have no streams
  std::vector<Rank> simulated;  ///< by rank: whose timeline it shares
  std::vector<Difference> differences;  ///< why ranks of one body do not all share one
  Prediction prediction;
};

/// Simulates one training step. The prediction's provenance is the caller's to fill in. Throws
/// ConfigError when that would take more than a process can hold.
[[nodiscard]] Simulation simulate(const Run& run, const Progress& progress = {},
                                  Fidelity fidelity = Fidelity::lumped);

/// The inputs of a run as provenance: all texts that were read, and their hash. Files of the
/// catalogues below `root` are named relative to it, so that no machine's paths travel.
[[nodiscard]] Provenance provenance_of(const config::Sources& sources, const std::string& root);

/// FLOPs / (GPUs x half of the GPU's dense peak): the baseline that a simulator has to beat.
[[nodiscard]] Seconds half_of_peak(const Run& run);

}  // namespace foretrain
