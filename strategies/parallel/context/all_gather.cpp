// Keys and values of all ranks are gathered before the attention core, which then runs in one piece
// (Llama Team 2024, section 3.3.2). With a stack that overlaps they travel while it runs. Backward
// gathers them again and scatters the sums of their gradients.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/context/kind.hpp"

namespace foretrain {
namespace {

void collective(const ContextCore& core, StreamIndex stream, CollectiveKind kind,
                std::string_view name) {
  const double tokens = static_cast<double>(core.run.training.micro_batch) *
                        static_cast<double>(core.run.training.sequence_length);
  core.writer.op(stream, name, Collective{kind, kContextGroup, keys_and_values(core, tokens)});
}

constexpr std::string_view kGather = "keys and values all-gather";
constexpr std::string_view kScatter = "key and value gradients reduce-scatter";

}  // namespace

std::optional<std::string> refuse_no_context(const Run&) { return std::nullopt; }

std::vector<std::string_view> all_gather_streams(const Run& run) {
  return run.stack.overlap_context ? std::vector<std::string_view>{"context"}
                                   : std::vector<std::string_view>{};
}

void write_all_gather(const ContextCore& core) {
  const bool is_backward = core.direction == Direction::backward;
  if (core.streams.empty()) {
    collective(core, kCompute, CollectiveKind::all_gather, kGather);
    core.kernels();
    if (is_backward) {
      collective(core, kCompute, CollectiveKind::reduce_scatter, kScatter);
    }
    return;
  }
  const StreamIndex stream = core.streams.front();
  core.writer.wait(stream, core.writer.record(kCompute));
  collective(core, stream, CollectiveKind::all_gather, kGather);
  if (is_backward) {
    collective(core, stream, CollectiveKind::reduce_scatter, kScatter);
  }
  core.kernels();
  core.writer.wait(kCompute, core.writer.record(stream));
}

}  // namespace foretrain
