// The table of pipeline schedules.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "sim/core/error.hpp"
#include "strategies/pipeline/schedule.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<PipelineSchedule, 5> kSchedules = {{
    {"1f1b", "One forward, one backward: at most p micro-batches in flight", one_f_one_b, refuse_virtual_stages},
    {"gpipe", "All forwards, then all backwards: m micro-batches in flight", gpipe, refuse_virtual_stages},
    {"interleaved-1f1b", "1F1B over v chunks of layers per stage: bubble divided by v", interleaved_one_f_one_b, refuse_uneven_interleaving},
    {"zb-h1", "ZB-1p: weight gradients put off to fill the bubble, memory of 1F1B", zb_h1, refuse_virtual_stages},
    {"zb-2p", "ZB-H2: no bubble when all passes take alike, twice the memory of 1F1B", zb_2p, refuse_virtual_stages, StepEnd::stage_by_stage},
}};
// clang-format on

}  // namespace

std::span<const PipelineSchedule> pipeline_schedules() { return kSchedules; }

const PipelineSchedule& pipeline_schedule(std::string_view name) {
  for (const PipelineSchedule& schedule : kSchedules) {
    if (schedule.name == name) {
      return schedule;
    }
  }
  throw InternalError("no pipeline schedule called " + std::string(name));
}

}  // namespace foretrain
