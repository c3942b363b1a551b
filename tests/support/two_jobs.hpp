// Two programs side by side as one: two jobs that know nothing of each other on one machine.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sim/program/program.hpp"

namespace foretrain::testing {

/// The ranks of `one` and then those of `other`, placed on devices by turns while both have some.
[[nodiscard]] Program two_jobs(Program one, Program other);

}  // namespace foretrain::testing
