// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/bubble.hpp"

namespace foretrain {
namespace {

constexpr std::string_view kSc21 = "Narayanan et al., SC'21, section 2.2";
constexpr std::string_view kZeroBubble = "Qi et al. 2024, table 2";
constexpr std::string_view kDeepSeek =
    "DeepSeek-AI 2024, table 2: F&B + B - 3 W, one after the other, B whole";

std::int32_t any_number(std::int32_t) { return 1; }
std::int32_t as_many_as_stages(std::int32_t stages) { return stages; }
std::int32_t twice_less_one(std::int32_t stages) { return 2 * stages - 1; }

double others(std::int32_t stages) { return static_cast<double>(stages - 1); }

Seconds whole_passes(std::int32_t stages, const PassTimes& t) { return others(stages) * t.all(); }
Seconds zb_1p_bubble(std::int32_t stages, const PassTimes& t) {
  return others(stages) * (t.forward + t.input_gradient - t.weight_gradient);
}
Seconds zb_2p_bubble(std::int32_t stages, const PassTimes& t) {
  return others(stages) * (t.forward + t.input_gradient - 2.0 * t.weight_gradient);
}
// Where F is between W and B: on the way through the p - 1 other stages a gradient waits twice for
// an input gradient while a stage has a weight gradient to do meanwhile.
Seconds zb_v_bubble(std::int32_t stages, const PassTimes& t) {
  return others(stages) * 2.0 * (t.input_gradient - t.weight_gradient);
}
Seconds pair(const PassTimes& t) {
  return t.forward + 2.0 * (t.input_gradient + t.weight_gradient) - 3.0 * t.weight_gradient;
}
Seconds dual_pipe_bubble(std::int32_t stages, const PassTimes& t) {
  return (static_cast<double>(stages) / 2 - 1) * pair(t);  // of an even number
}
Seconds dual_pipe_v_bubble(std::int32_t stages, const PassTimes& t) {
  return others(stages) * pair(t);
}

}  // namespace

const BubbleForm kWholePassBubble = {"(p - 1)(F + B + W)", kSc21, whole_passes, any_number};
const BubbleForm kBreadthFirstBubble = {"(p - 1)(F + B + W)", kSc21, whole_passes,
                                        as_many_as_stages};
const BubbleForm kZb1pBubble = {"(p - 1)(F + B - W)", kZeroBubble, zb_1p_bubble, as_many_as_stages};
const BubbleForm kZb2pBubble = {"(p - 1)(F + B - 2 W)", kZeroBubble, zb_2p_bubble, twice_less_one};
const BubbleForm kZbVBubble = {"2 (p - 1)(B - W)",
                               "nothing when passes take alike: Qi et al. 2024, section 6; else "
                               "read off the order, for W <= F <= B",
                               zb_v_bubble, twice_less_one};
const BubbleForm kDualPipeBubble = {"(p / 2 - 1)(F + 2 B - W)", kDeepSeek, dual_pipe_bubble,
                                    as_many_as_stages, true};
const BubbleForm kDualPipeVBubble = {"(p - 1)(F + 2 B - W)", kDeepSeek, dual_pipe_v_bubble,
                                     as_many_as_stages, true};

}  // namespace foretrain
