// The kinds of context parallelism: what each sends, and that all do the same work.
//
// c = ranks that share a sequence; 4 micro-batches of b = 2 sequences of s = 64 tokens, 8 layers, 8
// heads of 8.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/lower.hpp"
#include "strategies/parallel/context/kind.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr double kPasses = 4 * 8;  // micro-batches times layers

Run shared_run(std::string_view kind, std::int64_t context, std::int64_t tensor = 1) {
  Run run = small_run(tensor, 1, context);
  run.parallel.context = context;
  run.parallel.grid.context_kind = kind;
  run.training.global_batch = 8;
  run.stack.kernels.attention = AttentionKernel::flash2;
  return run;
}

Flops flash_flops(const Program& program) {
  Flops sum;
  for_every_op(program, Rank(0), [&](const Op& op) {
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      for (const Kernel& kernel : program.kernel_lists[kernels->list.index()]) {
        sum += std::holds_alternative<FlashAttention>(kernel.shape) ? flops(kernel) : Flops(0);
      }
    }
  });
  return sum;
}

}  // namespace

TEST_CASE("every kind of context parallelism finishes, and its ranks do 1 / c of the work each",
          "[strategies]") {
  const Flops whole = flash_flops(lower(shared_run("all-gather", 1)));
  for (const ContextKind& kind : context_kinds()) {
    for (const std::int64_t context : {2, 4, 8}) {
      for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
        Run run = shared_run(kind.name, context);
        REQUIRE_FALSE(kind.refuse(run));
        run.training.recompute = recompute;
        INFO(kind.name << " " << context);
        const Played played = play_run(run);
        CHECK_NOTHROW(verify(played.program));
        const double share = 1 / static_cast<double>(context);
        const double again = recompute == Recompute::none ? 0 : 2.0 / 7;  // forward 2 of 7 products
        CHECK_THAT(flash_flops(played.program).value,
                   WithinRel(share * (1 + again) * whole.value, 1e-12));
        for (const auto& rank : played.timeline.ranks) {
          CHECK_THAT(rank[kCompute].back().end.value, WithinRel(played.timeline.end.value, 1e-12));
        }
      }
    }
  }
}

TEST_CASE("a ring sends c - 1 shares of keys and values forward, and 2 (c - 1) backward",
          "[strategies]") {
  for (const std::int64_t context : {2, 4, 8}) {
    for (const std::int64_t tensor : {1, 2}) {
      const Run run = shared_run("ring", context, tensor);
      const auto c = static_cast<double>(context);
      // b s / c tokens, K and V, h / t wide, 2 bytes.
      const double share = 2 * 64 / c * 2 * 64 / static_cast<double>(tensor) * 2;
      const Volume volume = sends(lower(run), Rank(0));
      CHECK(volume.count == static_cast<std::int64_t>(kPasses * 3 * (c - 1)));
      CHECK(volume.bytes.value == kPasses * 3 * (c - 1) * share);
    }
  }
}

TEST_CASE("Ulysses exchanges queries, keys, values and outputs of a rank's tokens",
          "[strategies]") {
  const auto bytes = [](const Run& run, Phase phase) {
    return collectives(lower(run), Rank(0), "context", CollectiveKind::all_to_all, phase)
        .bytes.value;
  };
  for (const std::int64_t context : {2, 4, 8}) {
    Run run = shared_run("ulysses", context);
    const double tokens = 2 * 64 / static_cast<double>(context);
    // Four tensors of h = 64, each way: 4 N h / c elements.
    CHECK(bytes(run, Phase::forward) == kPasses * 4 * tokens * 64 * 2);
    CHECK(bytes(run, Phase::backward) == kPasses * 4 * tokens * 64 * 2);
    // Two key-value heads of 8; with more ranks each gets a copy of one.
    run.model = llama(8, 64, 8);
    const double heads = 2 * 8 + 2 * static_cast<double>(std::max<std::int64_t>(2, context));
    CHECK(bytes(run, Phase::forward) == kPasses * heads * 8 * tokens * 2);
  }
}

TEST_CASE("a ring hides what it sends behind attention where that takes longer", "[strategies]") {
  Run run = shared_run("ring", 4);
  run.training.sequence_length = 8192;
  run.training.micro_batch = 1;
  run.training.global_batch = 1;
  run.model = gpt(1, 256, 8);
  run.model.vocabulary = 300;
  run.cluster.node.rate.value = BytesPerSecond(1e15);
  const double instant = play_run(run).timeline.end.value;
  run.cluster.node.rate.value = BytesPerSecond(1e12);
  const double hidden = play_run(run).timeline.end.value;
  // A share of 2 MB takes 2 us, a piece of attention far longer; only gradients on their way home
  // are waited for.
  CHECK_THAT(hidden, WithinAbs(instant, 50e-6));
  run.cluster.node.rate.value = BytesPerSecond(1e9);
  CHECK(play_run(run).timeline.end.value > hidden + 3 * 2e-3);
}

TEST_CASE("attention that looks both ways goes round a ring in whole squares", "[strategies]") {
  Run run = shared_run("ring", 4);
  run.model.is_causal = false;
  Run whole = shared_run("all-gather", 1);
  whole.model.is_causal = false;
  CHECK_THAT(4 * flash_flops(lower(run)).value, WithinRel(flash_flops(lower(whole)).value, 1e-12));
}

TEST_CASE("kinds say why they cannot serve a run", "[strategies]") {
  Run run = shared_run("ulysses", 16);
  CHECK(context_kind("ulysses").refuse(run) ==
        "context_kind \"ulysses\" splits the heads of a rank: context 16 does not divide heads / "
        "tensor = 8");
  run.parallel.context = 2;
  CHECK_FALSE(context_kind("ulysses").refuse(run));
  run.model.kv_heads = 3;
  run.model.heads = 12;
  CHECK(context_kind("ulysses").refuse(run) ==
        "context_kind \"ulysses\" splits key-value heads, or repeats each as often: neither of "
        "context 2 and kv_heads / tensor = 3 divides the other");
  run.training.sequence_length = 66;
  CHECK(context_kind("ring").refuse(run) ==
        "context_kind \"ring\" cuts a sequence into 2 x context = 4 chunks, which does not divide "
        "sequence_length 66");
  CHECK_FALSE(context_kind("all-gather").refuse(run));
  run.training.sequence_length = 64;
  run.model.sliding_window = 16;
  CHECK(
      context_kind("ring").refuse(run) ==
      "context_kind \"ring\" with sliding_window 16 is not modelled: shares differ in their work");
}

}  // namespace foretrain::testing
