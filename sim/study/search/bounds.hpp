// Lower bounds of the step time and of the memory peak of a layout, without simulating it: what a
// chain of passes, messages and collectives takes when nothing else is in its way.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sim/study/search/finish.hpp"
#include "sim/study/search/stage_order.hpp"

namespace foretrain {

struct LayoutBound {
  Seconds time;  ///< no simulated step is shorter
  Bytes memory;  ///< no simulated peak of the rank that holds most is lower
  Seconds busy;  ///< nor does a GPU compute for less, in the mean over all
};

/// A layout with what the bounds of its columns share.
struct LaidOutRun {
  const Run& run;
  const RankGrid& grid;
  const PipelineSchedule& schedule;
  PipelineShape shape;
  DataPasses passes;
  bool is_slanted = false;   ///< stages end a step one after the other
  bool has_gathers = false;  ///< ZeRO-3 gathers, and holds what it gathers for a while
};

/// What the pass of a chunk takes beside its blocks, where compute waits for gathers.
[[nodiscard]] Seconds serial_gather(const LaidOutRun& laid_out, const StageEnd& end,
                                    std::size_t chunk, bool is_forward);
/// What ZeRO-3 has gathered of a chunk at some time of its backward, at least.
[[nodiscard]] Bytes gathered_bytes(const LaidOutRun& laid_out, const ChunkTimes& chunk);
/// What a slanted stage does when it has ended the step before.
[[nodiscard]] Seconds slanted_update(const StageEnd& end, const DataPasses& passes);

/// LayoutBounds of the layouts of one run on one number of GPUs. What layouts share is worked out
/// once.
class LayoutBounds {
 public:
  /// `run` in any layout of the machine. REQUIRES: no kernel jitter.
  explicit LayoutBounds(const Run& run);

  /// In microseconds: the work of the stages that count, and the way of the first micro-batch to
  /// them and of the last gradient from them. REQUIRES here and below: the run is checked, and of
  /// the size that this was made for, with copies to hosts only if that run had them. Throws
  /// ConfigError where an algorithm that the run forces cannot serve a group.
  [[nodiscard]] LayoutBound quick(const Run& run);
  /// In a tenth of a millisecond: every pass of every stage in the order of the schedule, none
  /// before what it waits for.
  [[nodiscard]] LayoutBound scheduled(const Run& run);

 private:
  [[nodiscard]] LaidOutRun lay_out(const Run& run);
  [[nodiscard]] LayoutBound quick_of(const LaidOutRun& laid_out, std::size_t column);
  [[nodiscard]] LayoutBound scheduled_of(const LaidOutRun& laid_out, std::size_t column);

  LeastCosts costs_;
  LaidOutTable table_;
  StepEnds ends_;
  StageOrders orders_;
};

}  // namespace foretrain
