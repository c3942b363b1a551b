// Experts on a grid of their own: who shares them, what travels, and who sums their gradients.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/expert.hpp"

#include <set>

#include "sim/lump/lump.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/parallel/groups_of_ranks.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr double kTokens = 2 * 64;      // of a micro-batch
constexpr double kCopies = 2 * 64 * 2;  // k = 2 of h = 64, 2 bytes each

/// 8 experts, of which each token visits 2, in 8 layers of hidden 64.
Run expert_run(std::int64_t tensor, std::int64_t data, std::int64_t degree,
               std::optional<std::int64_t> expert_tensor = std::nullopt) {
  Run run = small_run(tensor, 1, data);
  run.model = mixtral(8, 64, 16);
  run.model.vocabulary = 512;
  run.parallel.sequence_parallel = tensor > 1;
  run.parallel.experts.degree = degree;
  run.parallel.experts.tensor = expert_tensor;
  return run;
}

Volume on_expert_axis(const Program& program, CollectiveKind kind,
                      std::optional<Phase> phase = std::nullopt) {
  return collectives(program, Rank(0), "expert", kind, phase);
}

}  // namespace

TEST_CASE("T k h elements go to experts and come back, forward and again backward",
          "[strategies]") {
  // Of each all-to-all (e - 1) / e leaves the rank (bus_factor).
  for (const std::int64_t degree : {2, 4, 8}) {
    const Program program = lower(expert_run(1, 8, degree));
    CHECK_NOTHROW(verify(program));
    for (const Phase phase : {Phase::forward, Phase::backward}) {
      const Volume volume = on_expert_axis(program, CollectiveKind::all_to_all, phase);
      CHECK(volume.count == 2 * kLayers * kMicroBatches);
      CHECK(volume.bytes.value == 2 * kLayers * kMicroBatches * kTokens * kCopies);
    }
    CHECK(bus_factor(CollectiveKind::all_to_all, static_cast<std::size_t>(degree)) ==
          static_cast<double>(degree - 1) / static_cast<double>(degree));
  }
}

TEST_CASE("with sequence parallelism a rank sends its share of the tokens", "[strategies]") {
  const Run run = expert_run(2, 4, 4);
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  const double each = kTokens / 2 * kCopies;
  const double times = 2 * kLayers * kMicroBatches;
  CHECK(on_expert_axis(program, CollectiveKind::all_to_all, Phase::forward).bytes.value ==
        times * each);
  // Two ranks split each expert: they gather the rows of both, and scatter their sums.
  const auto split = [&](CollectiveKind kind) {
    return collectives(program, Rank(0), "expert tensor", kind, Phase::forward).bytes.value;
  };
  CHECK(split(CollectiveKind::all_gather) == times / 2 * 2 * each);
  CHECK(split(CollectiveKind::reduce_scatter) == times / 2 * 2 * each);
  const Program whole = lower(expert_run(2, 4, 4, 1));  // nobody splits an expert
  CHECK(collectives(whole, Rank(0), "expert tensor", CollectiveKind::all_gather).count == 0);
}

TEST_CASE("recomputing a layer sends its tokens once more", "[strategies]") {
  Run run = expert_run(1, 4, 4);
  run.training.recompute = Recompute::full;
  CHECK(on_expert_axis(lower(run), CollectiveKind::all_to_all, Phase::recompute).bytes.value ==
        2 * kLayers * kMicroBatches * kTokens * kCopies);
  run.training.recompute = Recompute::selective;
  CHECK(on_expert_axis(lower(run), CollectiveKind::all_to_all, Phase::recompute).count == 0);
}

TEST_CASE("experts have a grid of their own over the ranks of a stage", "[strategies]") {
  // T = 2, D = 4: 8 places. e = 2 x t' = 2: neighbours split an expert, two pairs share a layer's.
  const Program even = lower(expert_run(2, 4, 2));
  CHECK(members(even, 0, kExpertTensorGroup) == ranks({0, 1}));
  CHECK(members(even, 1, kExpertGroup) == ranks({1, 3}));
  CHECK(members(even, 1, kExpertDataGroup) == ranks({1, 5}));
  // e = 4 x t' = 1: four neighbours share, whatever their tensor coordinate (Megatron-Core).
  const Program single = lower(expert_run(2, 4, 4, 1));
  CHECK(members(single, 6, kExpertGroup) == ranks({4, 5, 6, 7}));
  CHECK(members(single, 6, kExpertDataGroup) == ranks({2, 6}));
}

TEST_CASE("gradients of experts are summed over those that hold them, the rest over all replicas",
          "[strategies]") {
  const Run run = expert_run(1, 8, 4);
  const StageShape shape = stage_shape(run, 0);
  const Program program = lower(run);
  const auto sum = [&](std::string_view axis) {
    return collectives(program, Rank(0), axis, CollectiveKind::all_reduce).bytes.value;
  };
  const auto experts = static_cast<double>(shape.expert_parameters);
  CHECK(experts == 8 * 2 * 3 * 64 * 192);  // 8 layers of 2 experts of 3 h f
  CHECK(sum("expert data") == 4 * experts);
  CHECK(sum("data") == 4 * (static_cast<double>(shape.parameters) - experts));
  CHECK(members(program, 0, kExpertDataGroup).size() == 2);
  // All hold the same: 8 ranks share 8 experts, and nobody else has them.
  const Program alone = lower(expert_run(1, 8, 8));
  CHECK(collectives(alone, Rank(0), "expert data", CollectiveKind::all_reduce).count == 0);
}

TEST_CASE("ZeRO shards experts over those that hold them", "[strategies]") {
  for (const std::int64_t zero : {1, 2, 3}) {
    Run run = expert_run(1, 8, 4);
    run.parallel.zero = zero;
    const StageShape shape = stage_shape(run, 0);
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    const auto experts = static_cast<double>(shape.expert_parameters);
    const double dense = static_cast<double>(shape.parameters) - experts;
    // fp32 master copy and two moments.
    CHECK(resident(program, Rank(0), MemoryClass::optimizer).value ==
          std::ceil(12 * (dense / 8 + experts / 2)));
    const double times = zero == 1 ? 1 : kMicroBatches;
    CHECK(
        collectives(program, Rank(0), "expert data", CollectiveKind::reduce_scatter).bytes.value ==
        times * 4 * experts);
    const double gathers = zero == 3 ? 2 * kMicroBatches : 1;
    CHECK(collectives(program, Rank(0), "expert data", CollectiveKind::all_gather).bytes.value ==
          gathers * 2 * experts);
  }
}

TEST_CASE("a block of shards holds its part of the experts' holders", "[strategies]") {
  Run run = expert_run(1, 8, 2);
  run.parallel.zero = 3;
  run.parallel.shard = 4;  // in a block of 4 two hold the same experts; in all 4 do
  CHECK(expert_replicas(run) == 4);
  CHECK(expert_shards(run) == 2);
  const Program program = lower(run);
  CHECK_NOTHROW(verify(program));
  CHECK(members(program, 1, kExpertShardGroup) == ranks({1, 3}));
  CHECK(members(program, 1, kExpertReplicaGroup) == ranks({1, 5}));
  run.parallel.experts.degree = 8;  // more than a block: each has a part of the experts
  CHECK(expert_shards(run) == 1);
  CHECK_NOTHROW(verify(lower(run)));
}

TEST_CASE("parameters over all ranks are the model's times the replicas", "[strategies]") {
  // Layers only: norms and router are on every rank.
  for (const auto& [tensor, degree, split] :
       {std::tuple{1, 1, 1}, {1, 8, 1}, {2, 2, 2}, {2, 4, 1}, {4, 2, 4}, {2, 1, 1}, {4, 8, 1}}) {
    const Run run = expert_run(tensor, 8 / tensor, degree, split);
    const StageShape shape = stage_shape(run, 0);
    const std::int64_t norms = (2 * 8 + 1) * 64 + 8 * 8 * 64;
    const std::int64_t experts = std::int64_t{8} * 8 * 3 * 64 * 192;
    const std::int64_t rest = parameters(run.model) - norms - experts;
    const bool has_grid = has_expert_grid(run);
    INFO(tensor << " " << degree << " " << split);
    CHECK(8 * (shape.parameters - norms) ==
          8 / tensor * rest +
              (has_grid ? expert_replicas(run) : std::int64_t{8} / tensor) * experts);
  }
}

TEST_CASE("GEMMs over all ranks are the model's FLOPs however experts are laid out",
          "[strategies]") {
  for (const auto& [tensor, degree, split] :
       {std::tuple{1, 8, 1}, {2, 2, 2}, {2, 4, 1}, {4, 2, 4}, {2, 1, 1}, {4, 8, 1}}) {
    const Run run = expert_run(tensor, 8 / tensor, degree, split);
    const Program program = lower(run);
    Flops sum;
    for (std::size_t rank = 0; rank < 8; ++rank) {
      sum += gemm_flops(program, Rank(rank));
    }
    INFO(tensor << " " << degree << " " << split);
    CHECK_THAT(sum.value, WithinRel(model_flops(run).value, 1e-12));
  }
}

TEST_CASE("ranks that share experts are alike, and one of them is simulated", "[strategies]") {
  Run run = expert_run(1, 16, 8);
  const auto machine = build_machine(run);
  const Program program = lower(run);
  CHECK(lump(program, PlatformCosts(*machine)).originals.size() == 1);
}

TEST_CASE("tokens that go node first cross the network once for each node", "[strategies]") {
  // 8 ranks on 2 nodes of 4: a token's two of 8 experts are on one node with probability 3 / 7.
  Run run = expert_run(1, 8, 8);
  run.stack.expert_dispatch = "node-first";
  REQUIRE(experts_on_node(run) == 4);
  ExpertTraffic traffic;
  traffic.ranks = traffic.experts = 8;
  traffic.nodes = traffic.per_token = 2;
  CHECK_THAT(nodes_visited(traffic), WithinRel(1 + 4.0 / 7, 1e-12));
  traffic.most_nodes = 1;
  CHECK(nodes_visited(traffic) == 1);
  for (const std::int64_t most : {0, 1}) {
    run.model.moe->most_nodes = most;
    const Program program = lower(run);
    CHECK_NOTHROW(verify(program));
    CHECK(members(program, 5, kExpertRailGroup) == ranks({1, 5}));
    CHECK(members(program, 5, kExpertNodeGroup) == ranks({4, 5, 6, 7}));
    const double nodes = most == 1 ? 1 : 1 + 4.0 / 7;
    CHECK_THAT(
        on_expert_axis(program, CollectiveKind::all_to_all).bytes.value,
        WithinRel(4 * kLayers * kMicroBatches * kTokens * (kCopies + nodes * kCopies / 2), 1e-12));
  }
}

TEST_CASE("tokens that are gathered come whole from every rank", "[strategies]") {
  Run run = expert_run(1, 4, 4);
  run.stack.expert_dispatch = "all-gather";
  const Program program = lower(run);
  const double each = 4 * kTokens * kCopies / 2;
  for (const CollectiveKind kind : {CollectiveKind::all_gather, CollectiveKind::reduce_scatter}) {
    CHECK(on_expert_axis(program, kind).bytes.value == 2 * kLayers * kMicroBatches * each);
  }
}

TEST_CASE("every way of tokens to experts finishes, for many layouts", "[strategies]") {
  int runs = 0;
  for (const ExpertDispatch& way : expert_dispatches()) {
    for (const std::int64_t pipeline : {1, 2}) {
      for (const std::int64_t tensor : {1, 2, 4}) {
        for (const std::int64_t data : {2, 4}) {
          for (const std::int64_t degree : {1, 2, 4, 8}) {
            for (const std::int64_t split : {std::int64_t{1}, tensor}) {
              Run run = small_run(tensor, pipeline, data);
              run.model = mixtral(8, 64, 16);
              run.model.moe->shared_ffn = 128;
              run.parallel.sequence_parallel = tensor > 1;
              run.parallel.experts.degree = degree;
              run.parallel.experts.tensor = split;
              run.stack.expert_dispatch = way.name;
              run.stack.overlap_shared_experts = degree % 4 == 0;
              if (tensor * data % (degree * split) != 0 ||
                  (way.needs_nodes && experts_on_node(run) == 0)) {
                continue;
              }
              INFO(way.name << " " << tensor << " " << pipeline << " " << data << " " << degree);
              const Played played = play_run(run);
              CHECK_NOTHROW(verify(played.program));
              CHECK(played.timeline.end > 0_s);
              ++runs;
            }
          }
        }
      }
    }
  }
  CHECK(runs > 100);
}

TEST_CASE("a step is no longer when shared experts run while tokens travel", "[strategies]") {
  Run run = expert_run(1, 4, 4);
  run.model.moe->shared_ffn = 4096;
  run.cluster.node.rate.value = 1_GBps;
  const double in_line = play_run(run).timeline.end.value;
  run.stack.overlap_shared_experts = true;
  CHECK(play_run(run).timeline.end.value < in_line);
  run.model.moe->shared_ffn = 0;  // nothing to hide behind
  const double overlapped = play_run(run).timeline.end.value;
  run.stack.overlap_shared_experts = false;
  CHECK(play_run(run).timeline.end.value == Approx(overlapped).epsilon(1e-12));
}

TEST_CASE("a share of what travels hides beside kernels, and none of it is lost", "[strategies]") {
  Run run = expert_run(1, 4, 4);
  run.cluster.node.rate.value = 1_GBps;
  const double bytes = on_expert_axis(lower(run), CollectiveKind::all_to_all).bytes.value;
  double before = play_run(run).timeline.end.value;
  for (const double share : {0.25, 0.5, 1.0}) {
    run.stack.hidden_experts.value = share;
    const Played played = play_run(run);
    CHECK_NOTHROW(verify(played.program));
    CHECK_THAT(on_expert_axis(played.program, CollectiveKind::all_to_all).bytes.value,
               WithinRel(bytes, 1e-12));
    // A second collective waits for its own start.
    CHECK(played.timeline.end.value < before + 4 * 32 * 20e-6);
    before = played.timeline.end.value;
  }
}

TEST_CASE("the busiest rank decides where experts are not alike", "[strategies]") {
  Run run = expert_run(1, 4, 4);
  CHECK(expert_load(run) == 1);
  const double even = play_run(run).timeline.end.value;
  run.variation.expert_imbalance = 0.5;
  const double load = expert_load(run);
  CHECK(load > 1.1);
  CHECK(load < 4);  // all rows on one of four ranks
  CHECK_THAT(on_expert_axis(lower(run), CollectiveKind::all_to_all).bytes.value,
             WithinRel(load * 4 * kLayers * kMicroBatches * kTokens * kCopies, 1e-12));
  CHECK(play_run(run).timeline.end.value > even);
  run.variation.seed = 1;
  CHECK(expert_load(run) != load);
  run.variation.seed = 0;
  CHECK(expert_load(run) == load);
  Run more = run;
  more.variation.expert_imbalance = 1;
  CHECK(expert_load(more) > load);
}

namespace {

constexpr std::string_view kMixtral = R"(model = "mixtral-8x7b"
platform = "dgx-a100-80gb"
nodes = 4
[training]
sequence_length = 2048
global_batch = 64
[parallel]
tensor = 2
sequence_parallel = true
)";

std::string mixtral_with(const std::string& lines) { return std::string(kMixtral) + lines; }

}  // namespace

TEST_CASE("the keys of a run say how experts, sequences and ranks are laid out", "[strategies]") {
  const Run run = resolve_text(
      spoilt(mixtral_with("expert = 4\nexpert_tensor = 1\ncontext = 2\ncontext_kind = \"ulysses\"\n"
                          "order = \"tensor-context-pipeline-data\"\n"
                          "[variation]\nexpert_imbalance = 0.5\nseed = 3\n"),
             "global_batch = 64", "global_batch = 64\nexpert_capacity = 1.5\npad_experts = true"));
  CHECK(run.parallel.experts.degree == 4);
  CHECK(expert_tensor(run) == 1);
  CHECK(run.parallel.grid.context_kind == "ulysses");
  CHECK(name_of(run.parallel.grid.order) == "tensor-context-pipeline-data");
  CHECK(run.training.expert_capacity.factor == 1.5);
  CHECK(run.training.expert_capacity.is_padded);
  CHECK(describe(run.variation) ==
        std::vector<std::string>{"experts' popularity lognormal, sigma 0.5, seed 3"});
  const Run usual = resolve_text(mixtral_with("expert = 4\n"));
  CHECK(expert_tensor(usual) == 2);
  CHECK(usual.parallel.grid.context_kind == "all-gather");
  CHECK(usual.training.expert_capacity.factor == 0);
}

TEST_CASE("tokens on their way to experts can be compressed", "[strategies]") {
  const std::string plain = mixtral_with("expert = 8\nexpert_tensor = 1\n");
  const auto bytes = [](const std::string& text) {
    const Program program = lower(resolve_text(text));
    verify(program);
    return on_expert_axis(program, CollectiveKind::all_to_all).bytes.value;
  };
  const double coded = bytes(plain + "[compression.experts]\nmethod = \"block-int8\"\n");
  CHECK(coded < 0.6 * bytes(plain));  // 8 of 16 bits, and scales
  CHECK(coded > 0.5 * bytes(plain));
  // Gradients of experts go over groups of their own.
  CHECK_NOTHROW(bytes(plain + "zero = 1\n[compression.gradients]\nmethod = \"block-int8\"\n"));
}

TEST_CASE("keys of experts that cannot be are refused with the reason", "[strategies]") {
  CHECK(mistakes_in(mixtral_with("expert = 8\n")).empty());
  CHECK(mistakes_in(mixtral_with("expert = 8\nexpert_tensor = 1\n")).empty());
  CHECK(has(mistakes_in(mixtral_with("expert = 3\n")),
            "run.toml:10:10: parallel.expert: expert 3 does not divide the model's experts 8"));
  CHECK(has(mistakes_in(mixtral_with("expert = 8\nexpert_tensor = 8\n")),
            "expert 8 x expert_tensor 8 = 64 does not divide the 32 GPUs of a stage"));
  CHECK(has(mistakes_in(mixtral_with("expert = 2\nexpert_tensor = 3\n")), "does not divide"));
  CHECK(has(mistakes_in(spoilt(mixtral_with("expert = 8\n"), "sequence_parallel = true\n", "")),
            "need sequence_parallel with tensor 2"));
  CHECK(has(mistakes_in(spoilt(mixtral_with("expert = 8\n"), "mixtral-8x7b", "llama-2-7b")),
            "expert 8 has no effect: model 'llama-2-7b' has no mixture_of_experts"));
  CHECK(mistakes_in(mixtral_with("zero = 1\nshard = 2\nexpert = 8\nexpert_tensor = 1\n")).empty());
  const auto under_muon = [](const std::string& lines) {
    return mistakes_in(spoilt(mixtral_with(lines), "global_batch = 64",
                              "global_batch = 64\noptimizer = \"muon\""));
  };
  CHECK(has(under_muon("zero = 1\nexpert = 8\n"), "with optimizer muon under zero 1"));
  CHECK(under_muon("expert = 8\n").empty());
  CHECK(has(mistakes_in(mixtral_with("expert = 1\n[variation]\nexpert_imbalance = 0.5\n")),
            "no ranks share experts (parallel.expert)"));
  CHECK(has(mistakes_in(mixtral_with("expert = 8\n[variation]\nexpert_imbalance = 3.0\n")),
            "expected a number from 0 to 2, got 3"));
  CHECK(has(mistakes_in(mixtral_with("ep = 8\n")), "here it is called 'expert'"));
  CHECK(has(mistakes_in(spoilt(mixtral_with(""), "global_batch = 64",
                               "global_batch = 64\npad_experts = true")),
            "has no effect without expert_capacity"));
  CHECK(has(mistakes_in(spoilt(mixtral_with(""), "global_batch = 64",
                               "global_batch = 64\nexpert_capacity = 0.0")),
            "expected a number above 0"));
  CHECK(has(mistakes_in(mixtral_with("order = \"tensor-data\"\n")),
            "expected tensor, context, data and pipeline joined by hyphens"));
  CHECK(has(mistakes_in(mixtral_with("context_kind = \"rings\"\n")), "did you mean 'ring'?"));
  CHECK(
      has(mistakes_in(mixtral_with("context_kind = \"ring\"\n")), "has no effect with context 1"));
}

}  // namespace foretrain::testing
