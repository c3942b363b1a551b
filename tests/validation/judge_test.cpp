// SPDX-License-Identifier: Apache-2.0
// One case from its text to its outcome.
#include "validation/judge.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/repository.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::validation {
namespace {

using testing::kRoot;

JudgeOptions options() {
  JudgeOptions judging;
  judging.catalogue = {kRoot + "/models", kRoot + "/platforms", kRoot + "/strategies/stacks"};
  return judging;
}

const std::string kRun = R"(model = "gpt-22b"
platform = "dgx-a100-80gb"
gpus = 8
stack = "megatron-lm-2022"
[training]
sequence_length = 2048
global_batch = 4
micro_batch = 4
precision = "fp16"
[parallel]
tensor = 8
[measured]
source = "a test"
group = "g"
)";

Outcome judged(const std::string& measured, const JudgeOptions& judging = options()) {
  static config::Sources sources;
  Case one;
  one.id = "one";
  one.origin = "one.toml";
  one.run = config::parse_toml(sources, "one.toml", kRun + measured);
  return judge(one, judging);
}

TEST_CASE("a rate is compared as the step time that it means", "[judge]") {
  const Outcome step = judged("step_time = \"1.2 s\"");
  INFO(step.refusal);
  REQUIRE(step.time);
  CHECK(step.time->measured == Catch::Approx(1.2));
  CHECK(step.time->error() == Catch::Approx(step.time->predicted / 1.2 - 1));
  // 4 x 2048 tokens on 8 GPUs in 1.2 s.
  const Outcome tokens = judged("tokens_per_second_per_gpu = 853.3333333");
  REQUIRE(tokens.time);
  CHECK(tokens.time->measured == Catch::Approx(1.2));
  CHECK(tokens.time->predicted == Catch::Approx(step.time->predicted));
  // 100 GFLOP for each of 8192 tokens at 8 x 100 TFLOP/s.
  const Outcome flops = judged(
      "flops_per_gpu = \"100 TFLOP/s\"\nflops_count = \"own\"\nflops_per_token = \"100 GFLOP\"");
  REQUIRE(flops.time);
  CHECK(flops.time->measured == Catch::Approx(1.024));
}

TEST_CASE("one layer's time leaves out the head, the optimizer and the step's host cost",
          "[judge]") {
  const Outcome step = judged("step_time = \"1.2 s\"");
  const Outcome layer = judged("layer_time = \"19 ms\"");
  INFO(layer.refusal);
  REQUIRE(layer.time);
  CHECK(layer.is_layer_time);
  CHECK(layer.time->measured == Catch::Approx(0.019));
  CHECK(48 * layer.time->predicted < step.time->predicted);
  CHECK(48 * layer.time->predicted > 0.8 * step.time->predicted);
}

TEST_CASE("an allocator's peak is compared without what the libraries hold", "[judge]") {
  const Outcome device = judged("peak_memory = \"60 GB\"\nmemory_kind = \"device\"");
  const Outcome allocator = judged("peak_memory = \"60 GB\"\nmemory_kind = \"allocator\"");
  REQUIRE(device.memory);
  REQUIRE(allocator.memory);
  CHECK(allocator.memory->predicted < device.memory->predicted);
  CHECK_FALSE(device.time);
}

TEST_CASE("a run that failed is compared by its share of the capacity", "[judge]") {
  const Outcome outcome = judged("fits = false");
  REQUIRE(outcome.fit);
  CHECK_FALSE(outcome.fit->fits);
  CHECK(outcome.fit->share > 0.1);
}

TEST_CASE("overrides change the cases of their group only", "[judge]") {
  JudgeOptions judging = options();
  judging.overrides = {{"other", {"override.stack.host_per_step=\"9 s\""}}};
  const double plain = judged("step_time = \"1.2 s\"", judging).time->predicted;
  judging.overrides[0].group = "g";
  const double slow = judged("step_time = \"1.2 s\"", judging).time->predicted;
  CHECK(plain < 2);
  CHECK(slow > 9);
}

TEST_CASE("a mistake in a case is its refusal, not an exception", "[judge]") {
  const Outcome outcome = judged("step_time = \"1.2\"");
  CHECK(outcome.refusal.find("measured.step_time") == 0);
  CHECK_FALSE(outcome.time);
}

TEST_CASE("an outcome passes between processes whole", "[judge]") {
  Outcome outcome;
  outcome.id = "a \"quoted\" id";
  outcome.group = "g";
  outcome.kind = "k";
  outcome.gpus = 8;
  outcome.tokens_per_step = 8192;
  outcome.time = TimeResult{1.25, 1.5, 2};
  outcome.memory = MemoryResult{1e9, 2e9, false};
  outcome.fit = FitResult{false, 1.5};
  const Outcome back = outcome_from_json(to_json_line(outcome));
  CHECK(back.id == outcome.id);
  CHECK(back.kind == "k");
  CHECK(back.tokens_per_step == 8192);
  CHECK(back.time->naive == 2);
  CHECK(back.memory->predicted == 2e9);
  CHECK_FALSE(back.memory->is_allocator);
  CHECK(back.fit->share == 1.5);
  CHECK_FALSE(back.fit->fits);
}

TEST_CASE("a file of overrides holds lists of assignments by source", "[judge]") {
  const testing::ScratchFolder folder;
  const std::string path = folder.write("o.toml", "g = [\"override.gpu.sustained=0.9\"]\n");
  config::Sources sources;
  const auto overrides = load_overrides(sources, path);
  REQUIRE(overrides.size() == 1);
  CHECK(overrides[0].group == "g");
  CHECK(overrides[0].sets == std::vector<std::string>{"override.gpu.sustained=0.9"});
  CHECK_THROWS_AS(load_overrides(sources, folder.write("p.toml", "g = 3\n")), ConfigError);
}

TEST_CASE("cases of a folder come in the order of their names", "[judge]") {
  const testing::ScratchFolder folder;
  for (const std::string name : {"b", "a"}) {
    (void)folder.write(name + ".toml", kRun + "fits = true\n");
  }
  config::Sources sources;
  const std::vector<Case> cases = load_cases(sources, folder.path());
  REQUIRE(cases.size() == 2);
  CHECK(cases[0].id == "a");
  CHECK(cases[0].group == "g");
}

}  // namespace
}  // namespace foretrain::validation
