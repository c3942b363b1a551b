// DeepSpeed-Ulysses (Jacobs et al. 2023, section 3): an all-to-all turns all heads of a rank's
// tokens into all tokens of a share of the heads, attention runs over whole sequences, and another
// one turns its output back. Backward does the same with gradients. Where there are fewer key-value
// heads than ranks, each rank gets a copy of the one that it needs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "strategies/parallel/context/kind.hpp"

namespace foretrain {
namespace {

std::string text(std::int64_t number) { return std::to_string(number); }

// Bytes that a rank holds of its own tokens, `width` numbers of each.
Bytes held(const Run& run, std::int64_t width) {
  const std::int64_t tokens =
      run.training.micro_batch * (run.training.sequence_length / run.parallel.context);
  return static_cast<double>(tokens) * static_cast<double>(width) *
         std::max(Bytes(2), size_of(run.training.precision));
}

void all_to_all(const ContextCore& core, std::string_view name, std::int64_t width) {
  core.writer.op(kCompute, name,
                 Collective{CollectiveKind::all_to_all, kContextGroup, held(core.run, width)});
}

// Fewer heads over more tokens: the same work.
Step over_whole_sequences(const Step& step, std::int64_t context) {
  Step whole = step;
  if (auto* flash = std::get_if<FlashAttention>(&whole.what)) {
    flash->heads /= context;
    flash->query_length *= context;
  }
  return whole;
}

}  // namespace

std::optional<std::string> refuse_ulysses(const Run& run) {
  const std::int64_t heads = run.model.heads / run.parallel.tensor;
  const std::int64_t shared = run.model.kv_heads / run.parallel.tensor;
  const std::int64_t context = run.parallel.context;
  if (heads % context != 0) {
    return "context_kind \"ulysses\" splits the heads of a rank: context " + text(context) +
           " does not divide heads / tensor = " + text(heads);
  }
  if (shared % context != 0 && context % shared != 0) {
    return "context_kind \"ulysses\" splits key-value heads, or repeats each as often: neither of "
           "context " +
           text(context) + " and kv_heads / tensor = " + text(shared) + " divides the other";
  }
  return std::nullopt;
}

std::vector<std::string_view> ulysses_streams(const Run&) { return {}; }

void write_ulysses(const ContextCore& core) {
  const std::int64_t heads = core.run.model.heads / core.run.parallel.tensor;
  const std::int64_t shared =
      std::max(core.run.model.kv_heads / core.run.parallel.tensor, core.run.parallel.context);
  const FlashAttention& flash = kernel_of(core);
  const std::int64_t output = heads * flash.v_head_dim;
  const std::int64_t inputs =
      heads * flash.qk_head_dim + shared * (flash.qk_head_dim + flash.v_head_dim);
  const bool is_forward = core.direction == Direction::forward;
  std::vector<Step> steps;
  steps.reserve(core.steps.size());
  for (const Step& step : core.steps) {
    steps.push_back(over_whole_sequences(step, core.run.parallel.context));
  }
  if (is_forward) {
    all_to_all(core, "queries, keys and values all-to-all", inputs);
  } else {
    all_to_all(core, "attention output gradient all-to-all", output);
  }
  ContextCore whole = core;
  whole.steps = steps;
  whole.kernels();
  if (is_forward) {
    all_to_all(core, "attention output all-to-all", output);
  } else {
    all_to_all(core, "query, key and value gradients all-to-all", inputs);
  }
}

}  // namespace foretrain
