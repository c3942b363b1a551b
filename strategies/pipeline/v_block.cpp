// Building blocks (Qi et al. 2024b, "Pipeline Parallelism with Controllable Memory", sections 2 and
// 3): when all passes take alike, a stage has six per micro-batch, F, B and W of two chunks, so a
// block repeats every six passes; what a stage holds is the time from the forward of a chunk to its
// weight gradient over six. A stage runs its passes in the order of the blocks as soon as it can;
// the paper's further shifting of weight gradients into the first and last gaps is left out.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/v_block.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

constexpr std::int32_t kPeriod = 6;  // passes per micro-batch of a stage

// When the passes F0, F1, B1, B0 of the first block start, on one stage.
using Starts = std::array<std::int32_t, 4>;

// `turns`: what a micro-batch waits where it turns, at the last stage, the first and the last.
Starts starts_of(std::int32_t stages, std::int32_t stage, const BlockSteps& steps,
                 const std::array<std::int32_t, 3>& turns) {
  const std::int32_t ways = stages - 1;
  const std::int32_t forward_1 = ways * steps.forward_there + turns[0];
  const std::int32_t backward_1 = forward_1 + ways * steps.forward_back + turns[1];
  const std::int32_t backward_0 = backward_1 + ways * steps.backward_there + turns[2];
  return {stage * steps.forward_there, forward_1 + (ways - stage) * steps.forward_back,
          backward_1 + stage * steps.backward_there,
          backward_0 + (ways - stage) * steps.backward_back};
}

bool collides(const Starts& starts) {
  for (std::size_t a = 0; a < starts.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) {
      if ((starts[a] - starts[b]) % kPeriod == 0) {
        return true;
      }
    }
  }
  return false;
}

bool collides_anywhere(std::int32_t stages, const BlockSteps& steps,
                       const std::array<std::int32_t, 3>& turns) {
  for (std::int32_t stage = 0; stage < stages; ++stage) {
    if (collides(starts_of(stages, stage, steps, turns))) {
      return true;
    }
  }
  return false;
}

// The shortest turns with which no stage has two passes at one time, in any block.
std::array<std::int32_t, 3> shortest_turns(std::int32_t stages, const BlockSteps& steps) {
  for (std::int32_t sum = 3; sum <= 3 * kPeriod; ++sum) {
    for (std::int32_t a = 1; a <= kPeriod; ++a) {
      for (std::int32_t b = 1; b <= kPeriod; ++b) {
        const std::int32_t c = sum - a - b;
        if (c >= 1 && c <= kPeriod && !collides_anywhere(stages, steps, {a, b, c})) {
          return {a, b, c};
        }
      }
    }
  }
  throw InternalError("no block of a pipeline schedule fits its stages");
}

// The first time from `start` on that no pass of a block has yet; it is then taken.
std::int32_t take_free(std::int32_t start, std::array<bool, kPeriod>& taken) {
  while (taken[static_cast<std::size_t>(start % kPeriod)]) {
    ++start;
  }
  taken[static_cast<std::size_t>(start % kPeriod)] = true;
  return start;
}

}  // namespace

std::vector<Slot> v_block_order(const PipelineShape& shape, std::int32_t stage,
                                const BlockSteps& steps) {
  const Starts starts = starts_of(shape.stages, stage, steps, shortest_turns(shape.stages, steps));
  std::array<bool, kPeriod> taken{};
  for (const std::int32_t start : starts) {
    taken[static_cast<std::size_t>(start % kPeriod)] = true;
  }
  const std::int32_t weight_1 = take_free(starts[2] + 1, taken);
  const std::int32_t weight_0 = take_free(starts[3] + 1, taken);
  std::vector<std::pair<std::int32_t, Slot>> timed;
  timed.reserve(static_cast<std::size_t>(kPeriod) * static_cast<std::size_t>(shape.micro_batches));
  for (std::int32_t m = 0; m < shape.micro_batches; ++m) {
    const std::int32_t block = kPeriod * m;
    timed.push_back({block + starts[0], {SlotKind::forward, m, 0}});
    timed.push_back({block + starts[1], {SlotKind::forward, m, 1}});
    timed.push_back({block + starts[2], {SlotKind::input_gradient, m, 1}});
    timed.push_back({block + weight_1, {SlotKind::weight_gradient, m, 1}});
    timed.push_back({block + starts[3], {SlotKind::input_gradient, m, 0}});
    timed.push_back({block + weight_0, {SlotKind::weight_gradient, m, 0}});
  }
  std::sort(timed.begin(), timed.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Slot> slots;
  slots.reserve(timed.size());
  for (const auto& entry : timed) {
    slots.push_back(entry.second);
  }
  return slots;
}

}  // namespace foretrain
