// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/finish.hpp"

#include <algorithm>

namespace foretrain {
namespace {

// When the sums of one kind of parameters are over.
Seconds sums_end(const EndedStage& stage, const DataPasses& passes, const DataTimes& times,
                 Seconds LateGradients::*of_kind, Seconds last) {
  if (!times.is_overlapped) {
    return stage.slots_end + (passes.sums > 1 ? passes.sums * times.sums : times.sum_at_once);
  }
  // A share waits for the end, and so does the last block.
  const double exposed = stage.end->exposed;
  Seconds end = stage.slots_end + (1 - exposed) * last + exposed * times.sum_by_bytes;
  for (const LateGradients& late : stage.late) {
    end = std::max(end, late.ready + late.*of_kind);
  }
  return std::max(end, passes.sums * times.sums);
}

Seconds all_sums_end(const EndedStage& stage, const DataPasses& passes) {
  const StageEnd& end = *stage.end;
  const Seconds dense = sums_end(stage, passes, end.dense, &LateGradients::dense, stage.last_dense);
  const Seconds experts =
      sums_end(stage, passes, end.experts, &LateGradients::experts, stage.last_experts);
  const bool is_in_turn = !end.dense.is_overlapped && !end.experts.is_overlapped;
  return is_in_turn ? dense + experts - stage.slots_end : std::max(dense, experts);
}

// Gathers follow one another in streams of their own, however far ahead they run.
Seconds gathers_end(const EndedStage& stage, const DataPasses& passes) {
  const auto sum = [&](const DataTimes& times) {
    return passes.forward_gathers * times.gathers + passes.backward_gathers * times.gathers_again;
  };
  return std::max(sum(stage.end->dense), sum(stage.end->experts));
}

}  // namespace

Seconds finish(const Run& run, const DataPasses& passes, bool is_slanted,
               const std::vector<EndedStage>& stages) {
  const Seconds host = run.stack.host_per_step.value;
  std::vector<Seconds> summed;
  summed.reserve(stages.size());
  Seconds ends_meet(0);
  for (const EndedStage& stage : stages) {
    summed.push_back(is_slanted ? stage.slots_end : all_sums_end(stage, passes));
    if (stage.end->tied > Seconds(0)) {
      ends_meet = std::max(ends_meet, summed.back());
    }
  }
  Seconds met(0);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].end->tied > Seconds(0)) {
      summed[i] = ends_meet + stages[i].end->tied;
    }
    if (!is_slanted) {
      summed[i] += stages[i].end->before_norm;
    }
    met = std::max(met, summed[i]);
  }
  Seconds step(0);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const StageEnd& end = *stages[i].end;
    Seconds done = summed[i];
    if (!is_slanted) {
      done = (end.waits_for_norm ? met : summed[i]) + std::max(end.after_norm, end.host_work);
      done = std::max(done, gathers_end(stages[i], passes) + end.after_norm);
    }
    step = std::max(step, done + host);
  }
  return step;
}

}  // namespace foretrain
