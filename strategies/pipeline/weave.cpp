// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/weave.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace foretrain {
namespace {

bool is_cut(const PlacedOp& placed) {
  return placed.stream == kCompute && (std::holds_alternative<Collective>(placed.op.action) ||
                                       std::holds_alternative<Wait>(placed.op.action));
}

class Strand {
 public:
  explicit Strand(std::vector<PlacedOp> ops)
      : ops_(std::move(ops)), pieces_(1 + std::count_if(ops_.begin(), ops_.end(), is_cut)) {}

  [[nodiscard]] bool is_done() const { return next_ == ops_.size() && !waits_; }
  [[nodiscard]] double progress() const {
    return static_cast<double>(done_) / static_cast<double>(pieces_);
  }

  // Waits as the last cut has it, then runs up to the next one.
  void advance(StreamIndex beside, BodyWriter& writer) {
    if (waits_) {
      writer.put(kCompute, *std::exchange(waits_, std::nullopt));
    }
    while (next_ < ops_.size() && !waits_) {
      const PlacedOp& placed = ops_[next_++];
      if (!is_cut(placed)) {
        writer.put(placed.stream, placed.op);
      } else if (std::holds_alternative<Wait>(placed.op.action)) {
        waits_ = placed.op;
      } else {
        waits_ = move_beside(placed.op, beside, writer);
      }
    }
    ++done_;
  }

 private:
  static Op move_beside(const Op& op, StreamIndex beside, BodyWriter& writer) {
    writer.tag({op.phase, op.micro_batch, op.chunk});
    writer.wait(beside, writer.record(kCompute));
    writer.put(beside, op);
    Op wait = op;
    wait.name = writer.builder().name("wait");
    wait.action = Wait{writer.record(beside)};
    return wait;
  }

  std::vector<PlacedOp> ops_;
  std::ptrdiff_t pieces_;
  std::ptrdiff_t done_ = 0;
  std::size_t next_ = 0;
  std::optional<Op> waits_;
};

}  // namespace

void weave(std::vector<PlacedOp> first, std::vector<PlacedOp> second, StreamIndex beside,
           BodyWriter& writer) {
  Strand a(std::move(first));
  Strand b(std::move(second));
  while (!a.is_done() || !b.is_done()) {
    const bool is_a = !a.is_done() && (b.is_done() || a.progress() <= b.progress());
    (is_a ? a : b).advance(beside, writer);
  }
}

}  // namespace foretrain
