// Unlike nodes: layers dealt out by speed, and which nodes are worth using.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/mixed.hpp"

#include <algorithm>
#include <numeric>

#include "sim/study/simulate.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Numbers = std::vector<std::int64_t>;

/// llama-2-7b with 64 sequences of 2,048 tokens.
std::string text_on(const std::string& platform) {
  return "model = \"llama-2-7b\"\nplatform = \"" + platform +
         "\"\n[training]\nsequence_length = 2048\nglobal_batch = 64\n";
}

std::vector<NodeChoice> choices_on(const std::string& platform, const PartNames& names,
                                   std::int64_t nodes) {
  config::Sources sources;
  const std::string text = text_on(platform);
  OpenRun open;
  open.file = read_run_text(text, sources, {"nodes=" + std::to_string(nodes)});
  open.run = resolve(open.file, sources, source_catalogue(), "");
  open.run.parallel.sequence_parallel = true;
  FindOptions how;
  how.jobs = 2;
  how.predict = [&](const std::vector<std::string>& sets) {
    return plan_point(simulate(resolve_text(text, sets)).prediction);
  };
  return node_choices(open, names, how);
}

const NodeChoice& called(const std::vector<NodeChoice>& choices, const std::string& words) {
  const auto found = std::find_if(choices.begin(), choices.end(), [&](const NodeChoice& choice) {
    return choice.words.find(words) != std::string::npos;
  });
  REQUIRE(found != choices.end());
  return *found;
}

TEST_CASE("layers are dealt out in proportion to speed", "[study]") {
  CHECK(deal_layers(32, {1, 3}) == Numbers{8, 24});
  CHECK(deal_layers(32, {1, 1, 3, 3}) == Numbers{4, 4, 12, 12});
  CHECK(deal_layers(10, {1, 1, 1}) == Numbers{4, 3, 3});  // 3.33 each: the first takes what is left
  CHECK(deal_layers(4, {1, 100}) == Numbers{1, 3});       // a stage has at least one
  CHECK(deal_layers(3, {1, 1, 100}) == Numbers{1, 1, 1});
  CHECK(deal_layers(7, {2}) == Numbers{7});
}

TEST_CASE("a shift moves layers between the slowest and the fastest stages", "[study]") {
  CHECK(deal_layers(32, {1, 3}, 1) == Numbers{7, 25});
  CHECK(deal_layers(32, {1, 3}, -1) == Numbers{9, 23});
  CHECK(deal_layers(32, {3, 3, 1, 1}, 1) == Numbers{13, 13, 3, 3});
  CHECK(deal_layers(4, {1, 100}, 1) == Numbers{1, 3});  // nothing to give
  CHECK(deal_layers(8, {1, 1}, 1) == Numbers{4, 4});    // alike
}

TEST_CASE("no layer is lost whatever the speeds", "[study]") {
  for (std::int64_t layers = 4; layers < 40; ++layers) {
    for (const std::vector<double>& speeds :
         {std::vector<double>{1, 2, 3, 4}, {0.1, 9, 9, 9}, {5, 1, 1, 1}, {1, 1, 1, 1}}) {
      for (const std::int64_t shift : {-1, 0, 1}) {
        const Numbers dealt = deal_layers(layers, speeds, shift);
        CHECK(std::accumulate(dealt.begin(), dealt.end(), std::int64_t{0}) == layers);
        CHECK(*std::min_element(dealt.begin(), dealt.end()) >= 1);
      }
    }
  }
}

TEST_CASE("slow nodes with fewer layers bring more than slow nodes with as many", "[study]") {
  const auto choices = choices_on("mixed-a100-h100", {"dgx-a100-80gb", "dgx-h100"}, 2);
  CHECK(choices.size() == 5);
  const NodeChoice& alike = called(choices, "layers alike");
  const NodeChoice& uneven = called(choices, "A100 SXM4 80GB first");
  const NodeChoice& fast = called(choices, "only DGX H100");
  const NodeChoice& slow = called(choices, "only DGX A100");
  REQUIRE(uneven.best);
  CHECK(uneven.tokens_per_second > alike.tokens_per_second);
  CHECK(fast.tokens_per_second > slow.tokens_per_second);
  CHECK(uneven.nodes == 2);
  CHECK(fast.nodes == 1);
  // Nothing beats the sum of both halves, each by itself.
  CHECK(uneven.tokens_per_second < fast.tokens_per_second + slow.tokens_per_second);
  CHECK(std::is_sorted(choices.begin(), choices.end(), [](const auto& a, const auto& b) {
    return a.tokens_per_second > b.tokens_per_second;
  }));
  const std::string text = node_choices_text(choices);
  CHECK(text.find("worth using: all nodes bring +") != std::string::npos);
}

TEST_CASE("nodes on slow ports are weighed against going without them", "[study]") {
  const auto choices = choices_on("a100-one-slow-port", {}, 8);
  REQUIRE(choices.size() == 2);
  CHECK(called(choices, "all").nodes == 8);
  CHECK(called(choices, "without the nodes").nodes == 7);
  CHECK(called(choices, "without the nodes").best);  // 64 sequences became a multiple of seven
}

TEST_CASE("stages are measured against the memory of the nodes that they are on", "[study]") {
  // The first stage is on an A100, the second on an H100, whose driver leaves less.
  const Prediction prediction =
      simulate(resolve_text(text_on("mixed-a100-h100"),
                            {"nodes=2", "parallel.tensor=8", "parallel.pipeline=2"}))
          .prediction;
  REQUIRE(prediction.memory.size() == 2);
  config::Sources sources;
  CHECK(prediction.memory[0].capacity ==
        load_gpu(sources, "a100-sxm4-80gb", source_catalogue().platforms).memory.value);
  CHECK(prediction.memory[1].capacity ==
        load_gpu(sources, "h100-sxm5-80gb", source_catalogue().platforms).memory.value);
}

}  // namespace
}  // namespace foretrain::testing
