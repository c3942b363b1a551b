// The table of pipeline schedules.
// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "sim/core/table.hpp"
#include "strategies/pipeline/schedule.hpp"

namespace foretrain {
namespace {

// clang-format off
constexpr std::array<PipelineSchedule, 12> kSchedules = {{
    {"1f1b", "One forward, one backward: at most p micro-batches in flight", one_f_one_b, refuse_virtual_stages, &kWholePassBubble},
    {"gpipe", "All forwards, then all backwards: m micro-batches in flight", gpipe, refuse_virtual_stages, &kWholePassBubble},
    {"breadth-first", "GPipe over v chunks: all micro-batches through one chunk, then the next", breadth_first, accept_all, &kBreadthFirstBubble},
    {"interleaved-1f1b", "1F1B over v chunks of layers per stage: bubble divided by v", interleaved_one_f_one_b, refuse_uneven_interleaving, &kWholePassBubble, StepEnd::together, ChunkPlacement::round_robin, 0, true},
    {"zb-h1", "ZB-1p: weight gradients put off to fill the bubble, memory of 1F1B", zb_h1, refuse_virtual_stages, &kZb1pBubble},
    {"zb-2p", "ZB-H2: no bubble when all passes take alike, twice the memory of 1F1B", zb_2p, refuse_virtual_stages, &kZb2pBubble, StepEnd::stage_by_stage},
    {"interleaved-zb", "ZB-1p over v chunks of layers per stage: bubble divided by v", interleaved_zb, refuse_uneven_interleaving, &kZb1pBubble, StepEnd::together, ChunkPlacement::round_robin, 0, true},
    {"zb-v", "Two chunks, there and back: no bubble when all passes take alike, memory of 1F1B", zb_v, refuse_other_than_two_chunks, &kZbVBubble, StepEnd::stage_by_stage, ChunkPlacement::v_shape, 2},
    {"v-half", "Two chunks, there and back: half the memory and half the bubble of 1F1B", v_half, refuse_other_than_two_chunks, nullptr, StepEnd::together, ChunkPlacement::v_shape, 2},
    {"v-min", "Two chunks, there and back: a third of the memory, 2/3 of the bubble of 1F1B", v_min, refuse_other_than_two_chunks, nullptr, StepEnd::together, ChunkPlacement::v_shape, 2},
    {"dualpipe", "Micro-batches from both ends, forwards beside backwards, parameters twice", dual_pipe, refuse_uneven_dual_pipe, &kDualPipeBubble, StepEnd::together, ChunkPlacement::both_ways, 2},
    {"dualpipe-v", "DualPipe folded: two chunks, there and back, forwards beside backwards", dual_pipe_v, refuse_short_dual_pipe_v, &kDualPipeVBubble, StepEnd::together, ChunkPlacement::v_shape, 2},
}};
// clang-format on

}  // namespace

std::span<const PipelineSchedule> pipeline_schedules() { return kSchedules; }

const PipelineSchedule& pipeline_schedule(std::string_view name) {
  return row_named(kSchedules, name, "pipeline schedule");
}

}  // namespace foretrain
