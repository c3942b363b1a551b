// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/bounds.hpp"

#include <algorithm>

namespace foretrain {
namespace {

template <class BoundOf>
LayoutBound over_columns(const RankGrid& grid, BoundOf bound_of) {
  LayoutBound bound = bound_of(0);
  for (std::size_t column = 1; column < grid.columns.size(); ++column) {
    const LayoutBound other = bound_of(column);
    bound.time = std::max(bound.time, other.time);
    bound.memory = std::max(bound.memory, other.memory);
    bound.busy = std::min(bound.busy, other.busy);
  }
  return bound;
}

}  // namespace

Seconds serial_gather(const LaidOutRun& laid_out, const StageEnd& end, std::size_t chunk,
                      bool is_forward) {
  const DataPasses& passes = laid_out.passes;
  const ChunkData& data = end.dense.chunks[chunk];
  return passes.serial * (is_forward ? data.gather : data.gather_again) +
         static_cast<double>(is_forward ? data.pieces : data.pieces_again) * passes.host_per_piece;
}

Bytes gathered_bytes(const LaidOutRun& laid_out, const ChunkTimes& chunk) {
  if (!laid_out.has_gathers) {
    return Bytes(0);
  }
  const bool is_block_by_block = reshards_after_forward(laid_out.run);
  return (is_block_by_block ? chunk.largest_gather : chunk.gathered) * gathered_size(laid_out.run);
}

Seconds slanted_update(const StageEnd& end, const DataPasses& passes) {
  const Seconds sums = passes.sums > 1 ? passes.sums * (end.dense.sums + end.experts.sums)
                                       : end.dense.sum_at_once + end.experts.sum_at_once;
  return sums + end.before_norm + end.after_norm;
}

LayoutBounds::LayoutBounds(const Run& run) : costs_(run), table_(costs_), ends_(costs_) {}

LaidOutRun LayoutBounds::lay_out(const Run& run) {
  const PipelineSchedule& schedule = pipeline_schedule(run.parallel.schedule);
  LaidOutRun laid_out{run, table_.grid(run), schedule, run.pipeline_shape(), data_passes(run)};
  laid_out.is_slanted = schedule.end == StepEnd::stage_by_stage && run.parallel.pipeline > 1;
  laid_out.has_gathers = run.parallel.zero == 3 && (run.shards() > 1 || run.offload.parameters);
  return laid_out;
}

LayoutBound LayoutBounds::quick(const Run& run) {
  const LaidOutRun laid_out = lay_out(run);
  return over_columns(laid_out.grid,
                      [&](std::size_t column) { return quick_of(laid_out, column); });
}

LayoutBound LayoutBounds::scheduled(const Run& run) {
  const LaidOutRun laid_out = lay_out(run);
  return over_columns(laid_out.grid,
                      [&](std::size_t column) { return scheduled_of(laid_out, column); });
}

}  // namespace foretrain
