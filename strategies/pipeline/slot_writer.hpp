// Writes the slots of a stage that has two chunks, numbering the micro-batches of each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <deque>
#include <utility>

#include "strategies/pipeline/schedule.hpp"

namespace foretrain {

class SlotWriter {
 public:
  /// The first micro-batch of each chunk.
  explicit SlotWriter(std::array<std::int32_t, 2> first = {0, 0}) : next_{first, first} {}

  void forward(std::int32_t chunk, bool is_paired = false) {
    slots_.push_back({SlotKind::forward, next(0, chunk), chunk, is_paired});
  }
  void backward(std::int32_t chunk) {
    slots_.push_back({SlotKind::backward, next(1, chunk), chunk});
  }
  /// The weight gradients wait, first come first served.
  void input_gradient(std::int32_t chunk) {
    slots_.push_back({SlotKind::input_gradient, next(1, chunk), chunk});
    waiting_.push_back({SlotKind::weight_gradient, slots_.back().micro_batch, chunk});
  }
  void weight_gradient() {
    slots_.push_back(waiting_.front());
    waiting_.pop_front();
  }
  [[nodiscard]] bool has_weight_gradients() const { return !waiting_.empty(); }
  [[nodiscard]] std::vector<Slot> take() { return std::move(slots_); }

 private:
  std::int32_t next(std::size_t pass, std::int32_t chunk) {
    return next_[pass][static_cast<std::size_t>(chunk)]++;
  }

  std::array<std::array<std::int32_t, 2>, 2> next_;  // by pass and chunk
  std::deque<Slot> waiting_;
  std::vector<Slot> slots_;
};

}  // namespace foretrain
