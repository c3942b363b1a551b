// Closed forms of bubbles: what a step takes beyond its work when stages are alike and messages
// cost nothing.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "sim/core/units.hpp"

namespace foretrain {

/// One micro-batch through one chunk: F, B (input gradients), W (weight gradients).
struct PassTimes {
  Seconds forward;
  Seconds input_gradient;
  Seconds weight_gradient;
  [[nodiscard]] Seconds all() const { return forward + input_gradient + weight_gradient; }
};

struct BubbleForm {
  std::string_view formula;  ///< p stages; F, B, W of a chunk
  std::string_view source;
  Seconds (*of)(std::int32_t stages, const PassTimes& times);
  std::int32_t (*least_micro_batches)(std::int32_t stages);  ///< for which it holds
  bool is_bound = false;                                     ///< met when F = B = W, above it else
};

/// Schedules of whole backwards.
extern const BubbleForm kWholePassBubble;
/// All forwards of a chunk before its next: needs as many micro-batches as stages.
extern const BubbleForm kBreadthFirstBubble;
/// Weight gradients fill what one stage would wait.
extern const BubbleForm kZb1pBubble;
extern const BubbleForm kZb2pBubble;
extern const BubbleForm kZbVBubble;
extern const BubbleForm kDualPipeBubble;
extern const BubbleForm kDualPipeVBubble;

}  // namespace foretrain
