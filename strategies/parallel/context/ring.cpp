// SPDX-License-Identifier: Apache-2.0
//
// Ring attention (Liu et al. 2023): keys and values go round the ring of ranks in c - 1 messages,
// and attention runs over one rank's share at a time, while the next is on its way. Backward sends
// them round again, and their gradients after them, from the rank that is next in the ring to the
// one they belong to, each adding its own: c - 1 messages as well.
//
// Rank i holds chunks i and 2 c - 1 - i of the sequence, so that causal work is even: of its own
// share it does the triangle; of any other either all queries see the first chunk of the keys, or
// the second half of the queries sees all (the balance of Megatron-LM, and of Llama 3, section
// 3.3.2): half of a square each time, and c equal pieces in all.
#include <algorithm>
#include <optional>

#include "strategies/parallel/context/kind.hpp"

namespace foretrain {
namespace {

enum Stream : std::size_t { kSend, kReceive, kSendGradient, kReceiveGradient };
// Channels of the messages; pipelines have 0 and 1.
constexpr std::uint32_t kKeysAndValues = 2;
constexpr std::uint32_t kBlockGradients = 3;

/// One core on its way round the ring.
class Ring {
 public:
  explicit Ring(const ContextCore& core)
      : core_(core),
        context_(core.run.parallel.context),
        tokens_(static_cast<double>(core.run.training.micro_batch) *
                static_cast<double>(core.run.training.sequence_length) /
                static_cast<double>(context_)),
        block_(keys_and_values(core, tokens_)) {}

  void write() {
    const bool is_backward = core_.direction == Direction::backward;
    BodyWriter& writer = core_.writer;
    writer.wait(stream(kSend), writer.record(kCompute));
    for (std::int64_t step = 0; step < context_; ++step) {
      std::optional<EventId> arrived;
      if (step + 1 < context_) {
        arrived = exchange_keys_and_values();
      }
      piece(step);
      if (is_backward && step > 0) {
        pass_on_gradients(step);
      }
      if (!is_backward && step > 0) {
        merge();
      }
      if (arrived) {
        writer.wait(kCompute, *arrived);
      }
    }
    if (is_backward) {  // the gradients of this rank's own share have come home
      writer.wait(kCompute, gradients_arrived_);
      add_gradients();
    }
  }

 private:
  [[nodiscard]] StreamIndex stream(Stream which) const { return core_.streams[which]; }

  // What came in the last step goes on, while the next comes in.
  EventId exchange_keys_and_values() {
    BodyWriter& writer = core_.writer;
    if (arrived_) {
      writer.wait(stream(kSend), *arrived_);
    }
    writer.op(stream(kSend), "send keys and values", Send{kNextContext, kKeysAndValues, block_});
    writer.op(stream(kReceive), "receive keys and values",
              Recv{kPreviousContext, kKeysAndValues, block_});
    arrived_ = writer.record(stream(kReceive));
    return *arrived_;
  }

  // Of its own share the triangle, of another half a square.
  void piece(std::int64_t step) {
    std::vector<Step> steps(core_.steps.begin(), core_.steps.end());
    for (Step& each : steps) {
      if (auto* flash = std::get_if<FlashAttention>(&each.what)) {
        const bool is_half = flash->is_causal && step > 0;
        flash->is_causal = flash->is_causal && step == 0;
        flash->key_length = is_half ? flash->query_length / 2 : flash->query_length;
      }
    }
    ContextCore part = core_;
    part.steps = steps;
    part.kernels();
  }

  // The outputs of two pieces, weighted by their sums of exponentials: reads both, writes one.
  void merge() {
    const FlashAttention& flash = kernel_of(core_);
    const std::int64_t width = flash.heads * flash.v_head_dim;
    const Bytes output = tokens_ * static_cast<double>(width) *
                         std::max(Bytes(2), size_of(core_.run.training.precision));
    core_.writer.kernel("merge attention", MemoryBound{MemoryOp::streaming, 3.0 * output});
  }

  void pass_on_gradients(std::int64_t step) {
    BodyWriter& writer = core_.writer;
    if (step > 1) {  // those of the ranks before, for the same share
      writer.wait(kCompute, gradients_arrived_);
      add_gradients();
    }
    writer.wait(stream(kSendGradient), writer.record(kCompute));
    writer.op(stream(kSendGradient), "send key and value gradients",
              Send{kNextContext, kBlockGradients, block_});
    writer.op(stream(kReceiveGradient), "receive key and value gradients",
              Recv{kPreviousContext, kBlockGradients, block_});
    gradients_arrived_ = writer.record(stream(kReceiveGradient));
  }
  void add_gradients() {
    core_.writer.kernel("add key and value gradients",
                        MemoryBound{MemoryOp::streaming, 3.0 * block_});
  }

  const ContextCore& core_;
  std::int64_t context_;
  double tokens_;  // of this rank
  Bytes block_;    // their keys and values
  std::optional<EventId> arrived_;
  EventId gradients_arrived_;
};

}  // namespace

std::optional<std::string> refuse_ring(const Run& run) {
  if (run.model.sliding_window > 0 && run.model.sliding_window < run.training.sequence_length) {
    return "context_kind \"ring\" with sliding_window " + std::to_string(run.model.sliding_window) +
           " is not modelled: shares differ in their work";
  }
  const std::int64_t chunks = 2 * run.parallel.context;
  if (run.training.sequence_length % chunks != 0) {
    return "context_kind \"ring\" cuts a sequence into 2 x context = " + std::to_string(chunks) +
           " chunks, which does not divide sequence_length " +
           std::to_string(run.training.sequence_length);
  }
  return std::nullopt;
}

std::vector<std::string_view> ring_streams(const Run&) {
  return {"context send", "context receive", "context send gradients", "context receive gradients"};
}

void write_ring(const ContextCore& core) { Ring(core).write(); }

}  // namespace foretrain
