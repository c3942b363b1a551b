// The run file's keys about pipeline schedules, and their checks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "strategies/plan.hpp"

namespace foretrain {

/// Reads `schedule`, `virtual_stages`, `micro_batch_group` and `blocking_sends`: a schedule that
/// leaves no choice of chunks gives their number, chunks alone give an interleaved schedule.
void read_schedule(config::Reader& reader, Parallel& parallel, RunFile& file);

/// Checks that the schedule runs the shape of the pipeline; mistakes go to `diagnostics`.
void check_schedule(const RunFile& file, const Run& run, config::Diagnostics& diagnostics);

}  // namespace foretrain
