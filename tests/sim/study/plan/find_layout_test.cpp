// The best layout at a size: what the search proves is what is predicted, and a reason where there
// is none.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/find_layout.hpp"

#include "sim/study/simulate.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

/// A run whose layout is open, and the text that it is from.
struct Example {
  std::string text;
  OpenRun open;
  FindOptions how;
};

Example example(const std::string& model, const std::string& platform, std::int64_t batch,
                const std::string& stack = "megatron-core-2024",
                const std::string& precision = "bf16") {
  Example one;
  one.text = "model = \"" + model + "\"\nplatform = \"" + platform + "\"\nstack = \"" + stack +
             "\"\ngpus = 1\n[training]\nsequence_length = 1024\nprecision = \"" + precision +
             "\"\nglobal_batch = " + std::to_string(batch) + "\n";
  config::Sources sources;
  one.open.file = read_run_text(one.text, sources);
  one.open.run = resolve(one.open.file, sources, source_catalogue(), "");
  one.open.run.parallel.sequence_parallel = true;
  one.how.jobs = 2;
  one.how.predict = [text = one.text](const std::vector<std::string>& sets) {
    return plan_point(simulate(resolve_text(text, sets)).prediction);
  };
  return one;
}

PlanPoint fastest(const Example& one, std::int64_t gpus) {
  return fastest_layout(one.open, gpus, usual_choices(one.open.run), one.how);
}

TEST_CASE("the fastest layout is no slower than any that a person would try", "[study]") {
  const Example one = example("llama-2-7b", "dgx-h100", 64);
  const PlanPoint best = fastest(one, 16);
  REQUIRE(best.is_good());
  CHECK(best.gpus == 16);
  CHECK_FALSE(best.layout.empty());
  for (const std::vector<std::string>& sets :
       {std::vector<std::string>{"parallel.tensor=2", "parallel.zero=1"},
        {"parallel.tensor=8", "parallel.pipeline=2", "parallel.sequence_parallel=true"},
        {"parallel.zero=3", "training.micro_batch=2", "training.recompute=full"},
        {"parallel.tensor=4", "parallel.pipeline=2", "parallel.zero=1",
         "training.micro_batch=2"}}) {
    std::vector<std::string> all = sets;
    all.emplace_back("gpus=16");
    const PlanPoint tried = one.how.predict(all);
    CHECK((!tried.fits || best.step_time <= tried.step_time));
  }
  CHECK(one.how.predict(best.sets).step_time == best.step_time);
}

TEST_CASE("a layout that is found can be run, whatever model and machine", "[study]") {
  for (const Example& one :
       {example("gpt-neox-20b", "summit", 192, "megatron-deepspeed-2022", "fp16"),
        example("mixtral-8x7b", "dgx-h100", 64)}) {
    const PlanPoint best = fastest(one, one.open.run.cluster.gpus_per_node * 32);
    INFO(one.text << best.refusal);
    CHECK(best.is_good());
    CHECK(best.memory_use < 1);
  }
}

TEST_CASE("a size on which nothing fits, or nothing divides, says so", "[study]") {
  const Example one = example("llama-2-70b", "dgx-a100-40gb", 64);
  CHECK(fastest(one, 1).refusal == "no layout fits");
  CHECK_FALSE(small_layout(one.open, 8, one.how).is_good());
  CHECK(has(fastest(example("llama-2-7b", "dgx-h100", 64), 17).refusal, "divide"));
}

TEST_CASE("one that holds an instance needs neither the run's batch nor its time", "[study]") {
  const Example one = example("llama-2-7b", "dgx-h100", 509);  // a prime number of sequences
  const PlanPoint small = small_layout(one.open, 4, one.how);
  CHECK(small.is_good());
  CHECK(one.how.predict(small.sets).step_time == small.step_time);
}

TEST_CASE("what is too slow to be of interest is not found", "[study]") {
  Example one = example("llama-2-7b", "dgx-h100", 64);
  const PlanPoint best = fastest(one, 8);
  one.how.too_slow = best.step_time * 0.5;
  CHECK_FALSE(fastest(one, 8).is_good());
}

TEST_CASE("long sequences are shared among GPUs, short ones are not", "[study]") {
  Run run = example("llama-2-7b", "dgx-h100", 64).open.run;
  CHECK(usual_choices(run).allows("parallel.context", 1));
  CHECK_FALSE(usual_choices(run).allows("parallel.context", 2));
  run.training.sequence_length = 131'072;
  CHECK(usual_choices(run).allows("parallel.context", 2));
  CHECK_FALSE(usual_choices(run).allows("parallel.zero", 2));
}

}  // namespace
}  // namespace foretrain::testing
