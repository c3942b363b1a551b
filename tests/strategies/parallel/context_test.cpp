// What sharing a sequence changes: work, activations, and the keys and values that travel.
//
// c = ranks that share a sequence; 4 micro-batches of b = 2 sequences of s = 64 tokens, 8 layers.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/context.hpp"

#include <algorithm>

#include "platforms/gpu.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

/// All GPUs share each sequence.
Run context_run(std::int64_t context, std::int64_t tensor = 1) {
  Run run = small_run(tensor, 1, context);
  run.parallel.context = context;
  run.training.global_batch = 8;
  run.stack.kernels.attention = AttentionKernel::flash2;
  return run;
}

/// Calls `use(kernel, op)` for every flash attention of rank 0.
template <class Use>
void for_every_flash(const Program& program, Use use) {
  for_every_op(program, Rank(0), [&](const Op& op) {
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        if (std::holds_alternative<FlashAttention>(kernel.shape)) {
          use(kernel);
        }
      }
    }
  });
}

Flops attention_flops(const Program& program) {
  Flops sum;
  for_every_flash(program, [&sum](const Kernel& kernel) { sum += flops(kernel); });
  return sum;
}

Volume on_context_axis(const Run& run, CollectiveKind kind, std::optional<Phase> phase) {
  return collectives(lower(run), Rank(0), "context", kind, phase);
}

/// What travels in one collective: keys and values of all tokens.
void check_volume(const Volume& volume, std::int64_t count, double each) {
  CHECK(volume.count == count);
  CHECK(volume.bytes.value == static_cast<double>(count) * each);
}

constexpr double kKeysAndValues = 2.0 * 64 * 2 * 64 * 2;  // b s, K and V, h wide, 2 bytes

}  // namespace

TEST_CASE("ranks that share a sequence share its work evenly", "[strategies]") {
  const Program whole = lower(context_run(1));
  for (const std::int64_t c : {2, 4}) {
    const Run run = context_run(c);
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    const auto share = static_cast<double>(c);
    CHECK_THAT(share * attention_flops(program).value,
               WithinRel(attention_flops(whole).value, 1e-12));
    CHECK_THAT(share * gemm_flops(program, Rank(0)).value,
               WithinRel(gemm_flops(whole, Rank(0)).value, 1e-12));
    CHECK(run.data_parallel() == 1);
    CHECK(run.num_micro_batches() == kMicroBatches);
    const Timeline timeline = play_run(run).timeline;
    for (const auto& rank : timeline.ranks) {  // nobody waits for a heavier share
      CHECK_THAT(rank[kCompute].back().end.value, WithinRel(timeline.end.value, 1e-12));
    }
  }
}

TEST_CASE("attention on c ranks takes 1 / c of its time, besides launch and tail", "[strategies]") {
  Gpu gpu = context_run(1).cluster.gpu;
  gpu.flash_floor.value = 0_s;
  for (auto* fits : {&gpu.flash_forward, &gpu.flash_backward}) {
    fits->at(FlashVersion::flash2).tail = 0;
  }
  const auto time = [&gpu](std::int64_t context) {
    double sum = 0;
    for_every_flash(lower(context_run(context)),
                    [&](const Kernel& kernel) { sum += kernel_time(kernel, gpu).value; });
    return sum;
  };
  CHECK_THAT(2 * time(2), WithinRel(time(1), 1e-12));
  CHECK_THAT(4 * time(4), WithinRel(time(1), 1e-12));
}

TEST_CASE("keys and values are gathered forward, again backward, and their gradients scattered",
          "[strategies]") {
  const auto gather = CollectiveKind::all_gather;
  const auto scatter = CollectiveKind::reduce_scatter;
  for (const bool is_overlapped : {false, true}) {
    Run run = context_run(2);
    run.stack.overlap_context = is_overlapped;
    const std::int64_t passes = kMicroBatches * kLayers;
    check_volume(on_context_axis(run, gather, Phase::forward), passes, kKeysAndValues);
    check_volume(on_context_axis(run, gather, Phase::backward), passes, kKeysAndValues);
    check_volume(on_context_axis(run, scatter, Phase::backward), passes, kKeysAndValues);
    check_volume(on_context_axis(run, scatter, Phase::forward), 0, 0);
    check_volume(on_context_axis(run, CollectiveKind::all_reduce, std::nullopt), 0, 0);
    for (const auto& [recompute, again] : {std::pair{Recompute::selective, passes},
                                           {Recompute::full, passes},
                                           {Recompute::operators, std::int64_t{0}}}) {
      run.training.recompute = recompute;
      check_volume(on_context_axis(run, gather, Phase::recompute), again, kKeysAndValues);
    }
  }
}

TEST_CASE("shared key-value heads and tensor parallelism make keys and values narrower",
          "[strategies]") {
  const auto gather = CollectiveKind::all_gather;
  Run run = context_run(2, 2);
  check_volume(on_context_axis(run, gather, Phase::forward), 32, kKeysAndValues / 2);
  run.model = llama(8, 64, 8);  // 2 key-value heads of 8
  check_volume(on_context_axis(run, gather, Phase::forward), 32, kKeysAndValues / 2 / 4);
}

TEST_CASE("a rank keeps the activations of its tokens only", "[strategies]") {
  for (const Recompute recompute :
       {Recompute::none, Recompute::selective, Recompute::operators, Recompute::full}) {
    Run whole = context_run(1);
    whole.training.recompute = recompute;
    Run shared = context_run(4);
    shared.training.recompute = recompute;
    CHECK(4.0 * peak_held(lower(shared), Rank(0)) == peak_held(lower(whole), Rank(0)));
  }
}

TEST_CASE("gradients are summed over those who share a sequence, too", "[strategies]") {
  Run run = small_run(1, 1, 4);
  run.parallel.context = 2;
  run.training.global_batch = 16;
  run.stack.kernels.attention = AttentionKernel::flash2;
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  CHECK(run.data_parallel() == 2);
  CHECK(run.num_micro_batches() == 4);
  const auto members = [&program](std::size_t rank, std::uint32_t slot) {
    return program.groups[program.ranks[rank].communicators.at(slot).index()].members;
  };
  CHECK(members(2, kDataGroup).size() == 4);
  CHECK(members(0, kContextGroup) == std::vector{Rank(0), Rank(1)});
  CHECK(members(3, kContextGroup) == std::vector{Rank(2), Rank(3)});
  CHECK(collectives(program, Rank(0), "data", CollectiveKind::all_reduce).bytes ==
        static_cast<double>(stage_shape(run, 0).parameters) * 4_B);
}

TEST_CASE("overlapped keys and values hide behind attention, or it behind them", "[strategies]") {
  // A forward pass without overlap takes gather + attention per layer, with it the longer one.
  Run run = context_run(2);
  run.training.recompute = Recompute::none;
  const auto forward_time = [&run] {
    const Played played = play_run(run);
    const Stream& compute = played.program.body_of(Rank(0)).streams[kCompute];
    double end = 0;
    for (std::size_t i = 0; i < compute.ops.size(); ++i) {
      if (compute.ops[i].phase == Phase::forward && compute.ops[i].micro_batch == 0) {
        end = std::max(end, played.timeline.ranks[0][kCompute][i].end.value);
      }
    }
    return end;
  };
  const auto attention = [&run] {
    double time = 0;
    for_every_flash(lower(run), [&](const Kernel& kernel) {
      if (!std::get<FlashAttention>(kernel.shape).is_backward) {
        time = kernel_time(kernel, run.cluster.gpu).value;
      }
    });
    return time;
  }();
  for (const double rate : {1e8, 100e9}) {
    run.cluster.node.rate.value = BytesPerSecond(rate);
    run.stack.overlap_context = false;
    const double in_line = forward_time();
    run.stack.overlap_context = true;
    const double gather = 11e-6 + kKeysAndValues / 2 / rate;
    CHECK_THAT(in_line - forward_time(), WithinAbs(8 * std::min(gather, attention), 1e-9));
  }
}

}  // namespace foretrain::testing
