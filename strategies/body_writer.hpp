// Writes the body of a rank op by op: gathers kernels into runs, tags ops, numbers events.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "models/blocks/blocks.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// What the ops that follow belong to.
struct Tag {
  Phase phase = Phase::forward;
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;
};

/// Index of a stream in the body.
using StreamIndex = std::size_t;
inline constexpr StreamIndex kCompute = 0;

/// An op and where it goes.
struct PlacedOp {
  StreamIndex stream = kCompute;
  Op op;
};

class BodyWriter {
 public:
  /// Starts a body with its compute stream. REQUIRES: the builder outlives this.
  BodyWriter(ProgramBuilder& builder, std::string name);

  StreamIndex add_stream(std::string_view name);
  void tag(Tag tag);
  [[nodiscard]] const Tag& current_tag() const { return tag_; }
  /// Names the run of kernels that follows ("layer 3"); ends the run before it.
  void label(std::string_view label);

  /// Adds a kernel to the current run of the compute stream.
  void kernel(const Kernel& kernel) { pending_.push_back(kernel); }
  void kernel(std::string_view name, const Gemm& shape);
  void kernel(std::string_view name, const MemoryBound& shape);
  /// Takes back the kernels at the end of the current run that satisfy `matches`.
  template <class Predicate>
  std::vector<Kernel> take_back_while(Predicate matches);

  /// Adds an op; on the compute stream it comes after the kernels so far.
  void op(StreamIndex stream, std::string_view name, const Action& action);
  /// Adds kernels as an op of their own, on any stream; they occupy the GPU beside those of others.
  void kernels(StreamIndex stream, std::string_view name, std::vector<Kernel> list);
  /// Records a new event at this place of a stream.
  [[nodiscard]] EventId record(StreamIndex stream);
  void wait(StreamIndex stream, EventId event);
  /// Adds an op that was taken away, as it was.
  void put(StreamIndex stream, const Op& op);
  /// Takes away what `write` adds to any stream, in the order in which it does.
  template <class Write>
  [[nodiscard]] std::vector<PlacedOp> capture(Write write);
  void resident(MemoryClass memory, Bytes bytes);
  /// Sets what launching one kernel costs the host, from here on.
  void launch_time(Seconds per_kernel) { per_kernel_ = per_kernel; }
  /// Adds to what the host holds for this rank.
  void host(Bytes bytes) { body_.host_bytes += bytes; }
  void allocator_slack(double share) { body_.allocator_slack = share; }

  [[nodiscard]] Body take();
  [[nodiscard]] ProgramBuilder& builder() { return builder_; }

 private:
  void end_run();
  void add(StreamIndex stream, const Op& op);

  ProgramBuilder& builder_;
  Body body_;
  Tag tag_;
  NameId label_;
  Seconds per_kernel_{0};
  std::vector<Kernel> pending_;
  std::vector<PlacedOp>* captured_ = nullptr;  // where ops go instead of the body
};

template <class Write>
std::vector<PlacedOp> BodyWriter::capture(Write write) {
  end_run();
  std::vector<PlacedOp> captured;
  std::vector<PlacedOp>* const outer = std::exchange(captured_, &captured);
  write();
  end_run();
  captured_ = outer;
  return captured;
}

template <class Predicate>
std::vector<Kernel> BodyWriter::take_back_while(Predicate matches) {
  std::size_t first = pending_.size();
  while (first > 0 && matches(pending_[first - 1])) {
    --first;
  }
  const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(first);
  std::vector<Kernel> taken(begin, pending_.end());
  pending_.erase(begin, pending_.end());
  return taken;
}

}  // namespace foretrain
