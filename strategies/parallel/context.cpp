// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/context.hpp"

#include <algorithm>

namespace foretrain {

ContextParallel::ContextParallel(const Run& run, BodyWriter& writer) : run_(run), writer_(writer) {
  const double tokens = static_cast<double>(run.training.micro_batch) *
                        static_cast<double>(run.training.sequence_length);
  const std::int64_t width = 2 * (run.model.kv_heads / run.parallel.tensor) * run.model.head_dim;
  keys_and_values_ =
      tokens * static_cast<double>(width) * std::max(Bytes(2), size_of(run.training.precision));
  if (run.stack.overlap_context && run.parallel.context > 1) {
    stream_ = writer.add_stream("context");
  }
}

// Backward needs keys and values again, and sends their gradients back.
void ContextParallel::before_core(Direction direction) {
  if (run_.parallel.context == 1) {
    return;
  }
  if (stream_ != kCompute) {
    writer_.wait(stream_, writer_.record(kCompute));
  }
  collective(CollectiveKind::all_gather, "keys and values all-gather");
  if (stream_ != kCompute && direction == Direction::backward) {
    collective(CollectiveKind::reduce_scatter, "key and value gradients reduce-scatter");
  }
}

void ContextParallel::after_core(Direction direction) {
  if (run_.parallel.context == 1) {
    return;
  }
  if (stream_ != kCompute) {
    writer_.wait(kCompute, writer_.record(stream_));
  } else if (direction == Direction::backward) {
    collective(CollectiveKind::reduce_scatter, "key and value gradients reduce-scatter");
  }
}

void ContextParallel::collective(CollectiveKind kind, std::string_view name) {
  writer_.op(stream_, name, Collective{kind, kContextGroup, keys_and_values_});
}

}  // namespace foretrain
