// Data parallelism of a whole stage: which of its blocks are gathered and summed as one, and by
// whom: experts on a grid of their own have other holders than the rest of a layer.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "strategies/parallel/data.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

class StageData {
 public:
  /// Number of a block: the kinds of layers, then embedding and head.
  using Block = std::size_t;
  [[nodiscard]] Block embedding() const { return shape_.kinds.size(); }
  [[nodiscard]] Block head() const { return shape_.kinds.size() + 1; }

  /// REQUIRES: all outlive this.
  StageData(const Run& run, const StageShape& shape, BodyWriter& writer);

  /// The first thing of a step.
  void begin_step();
  /// A block is about to run; likewise after it has been recomputed.
  void enter(Block block, bool is_forward, std::int32_t micro_batch);
  void enter_again(Block block, std::int32_t micro_batch);
  void leave(Block block, bool is_forward);
  void leave_micro_batch();

  /// Gradients of one micro-batch join the sum of the step; those of the last are final. Where
  /// stages end one by one they are all summed over replicas at once, before the update.
  void accumulate(Block block, bool is_final);
  /// Sums what accumulate() has left, all of it where stages end one by one; compute waits.
  void finish_gradients();
  /// The optimizer's part of the step, and what follows it.
  void update();
  /// The last block of the step has run.
  void drop_gathered();

 private:
  [[nodiscard]] const Work& work(Block block) const;
  [[nodiscard]] std::int64_t gathered(const Work& work) const;
  [[nodiscard]] std::int64_t gathered_experts(const Work& work) const;
  [[nodiscard]] std::int64_t dropped_table() const;
  [[nodiscard]] bool has_experts(Block block) const {
    return expert_data_ && block < shape_.kinds.size();
  }
  void gradients_ready(std::int64_t parameters, std::int64_t tensors, std::int64_t in_experts,
                       bool is_final);

  const Run& run_;
  const StageShape& shape_;
  BodyWriter& writer_;
  DataParallel data_;
  std::optional<DataParallel> expert_data_;  // where they have holders of their own
  bool is_slanted_;                          // stages end a step one after the other
  std::vector<GatherUnit> units_;            // by block
  std::vector<GatherUnit> expert_units_;     // by kind of layer
};

}  // namespace foretrain
