// The eight phases of DualPipe as its authors describe them (DeepSeek-AI 2024, section 3.2.1, and
// the open repository's description): a stage at distance k of n warms up with 2 (n - k - 1)
// forwards of the near chunk, takes k + 1 pairs of forwards, then meets the first gradients, runs
// forwards and backwards in pairs, and ends with backwards whose weight gradients fill the last
// gaps.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/dual_order.hpp"

namespace foretrain {
namespace {

class DualOrder {
 public:
  explicit DualOrder(const DualStage& stage)
      : stage_(stage),
        before_(stage.depth - stage.distance - 1),
        behind_(stage.distance + 1),
        writer_(stage.first_micro_batch) {}

  std::vector<Slot> write() {
    warm_up();
    pairs();
    cool_down();
    return writer_.take();
  }

 private:
  void warm_up() {
    for (std::int32_t i = 0; i < 2 * before_; ++i) {
      writer_.forward(stage_.near);
    }
    for (std::int32_t i = 0; i < behind_; ++i) {
      writer_.forward(stage_.near);
      writer_.forward(stage_.far);
    }
    for (std::int32_t i = 0; i < before_; ++i) {
      writer_.input_gradient(stage_.far);
      writer_.weight_gradient();
      writer_.forward(stage_.far);
    }
  }

  // A forward of one chunk beside a backward of the other. Where the chunks meet the very first
  // pair runs one after the other: its gradient is needed soonest.
  void pairs() {
    const std::int32_t count = stage_.micro_batches - 2 * stage_.depth + behind_;
    for (std::int32_t i = 0; i < count; ++i) {
      writer_.forward(stage_.near, i > 0 || before_ > 0);
      writer_.backward(stage_.far);
      writer_.forward(stage_.far, true);
      writer_.backward(stage_.near);
    }
    for (std::int32_t i = 0; i < before_; ++i) {
      writer_.backward(stage_.far);
      writer_.forward(stage_.far, true);
      writer_.backward(stage_.near);
    }
  }

  // Of the last backwards the later half is split.
  void cool_down() {
    for (std::int32_t i = 0; i < 2 * behind_; ++i) {
      backward(i % 2 == 0 ? stage_.far : stage_.near, i >= behind_);
    }
    for (std::int32_t i = 0; i < before_; ++i) {
      writer_.weight_gradient();
      backward(stage_.near, true);
    }
    while (writer_.has_weight_gradients()) {
      writer_.weight_gradient();
    }
  }

  void backward(std::int32_t chunk, bool is_split) {
    is_split ? writer_.input_gradient(chunk) : writer_.backward(chunk);
  }

  const DualStage& stage_;
  std::int32_t before_;  // stages between this one and where the chunks meet
  std::int32_t behind_;  // this one and those on the way to the end
  SlotWriter writer_;
};

}  // namespace

std::vector<Slot> dual_order(const DualStage& stage) { return DualOrder(stage).write(); }

}  // namespace foretrain
