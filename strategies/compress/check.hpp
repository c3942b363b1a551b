// Checks [compression] against the rest of a run.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/plan.hpp"

namespace foretrain {

/// Places where the run sends nothing, or nothing that the options apply to; methods that need what
/// the run does not keep. REQUIRES: the run's degrees are right.
void check_compression(const Run& run, config::Diagnostics& diagnostics);

/// Width of what is sent in a place.
[[nodiscard]] Bytes wire_width(const Run& run, WirePlace place);

}  // namespace foretrain
