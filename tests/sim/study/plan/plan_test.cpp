// Plans: what a training comes to, which size is chosen, and the list of layouts behind it.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/plan/plan.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/plan/mixed.hpp"
#include "sim/study/simulate.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

Run load(const std::vector<std::string>& sets, const std::string& platform = "dgx-h100",
         const std::string& model = "llama-2-7b") {
  return resolve_text("model = \"" + model + "\"\nplatform = \"" + platform +
                          "\"\n[training]\nsequence_length = 4096\n"
                          "global_batch = 512\n",
                      sets);
}

/// A made-up cluster: a step of so many GPU-seconds, and another 0.1 s on every size.
PlanPoint made_up(const std::vector<std::string>& sets) {
  const Run run = load(sets);
  PlanPoint point;
  point.step_time = Seconds(512.0 / static_cast<double>(run.num_gpus()) + 0.1);
  point.low = point.step_time * 0.9;
  point.high = point.step_time * 1.2;
  point.memory_use = 0.5;
  point.fits = true;
  point.idle_share = 0.25;
  return point;
}

PlanOptions options_of(double tokens) {
  PlanOptions options;
  options.tokens = tokens;
  options.jobs = 2;
  options.candidates = 2;
  options.economics.price = 2;
  options.economics.load = 700;
  options.economics.idle = 100;
  options.economics.host = 300;
  options.economics.pue = 1.5;
  options.economics.grid = 400;
  return options;
}

// 100,000 steps of 512 sequences of 4,096 tokens.
constexpr double kTokens = 1e5 * 512 * 4096;

TEST_CASE("a bill is hours, money, the building's energy and what its grid emits", "[study]") {
  // 1,000 GPUs for 10 h, a quarter of it waiting: 10,000 h x (0.75 x 700 + 0.25 x 100 + 300) W
  // x 1.5 = 12.75 MWh, at 400 kg per MWh 5.1 t.
  const Bill bill = bill_of(options_of(1).economics, 1000, Seconds(36'000), 0.25);
  CHECK_THAT(bill.gpu_hours, WithinRel(10'000.0, 1e-12));
  CHECK_THAT(*bill.dollars, WithinRel(20'000.0, 1e-12));
  CHECK_THAT(*bill.megawatt_hours, WithinRel(12.75, 1e-12));
  CHECK_THAT(*bill.tonnes, WithinRel(5.1, 1e-12));
  CHECK_FALSE(bill_of({}, 1, Seconds(1), 0).dollars);
  CHECK_FALSE(bill_of({}, 1, Seconds(1), 0).megawatt_hours);
}

TEST_CASE("a plan doubles the size until it has passed the knee", "[study]") {
  const Run run = load({"gpus=1"});
  const PlanOptions options = options_of(kTokens);
  const Plan result = plan(run, options, made_up);
  REQUIRE(result.rows.size() >= 2);
  for (std::size_t i = 1; i < result.rows.size(); ++i) {
    CHECK(result.rows[i].point.gpus == 2 * result.rows[i - 1].point.gpus);
  }
  // N GPUs take 512 / N + 0.1 s: 1 / (512 + 0.1 N) of the work per GPU and second.
  const auto first = static_cast<double>(result.rows.front().point.gpus);
  for (const PlanRow& row : result.rows) {
    const auto gpus = static_cast<double>(row.point.gpus);
    CHECK_THAT(row.efficiency, WithinRel((512 + 0.1 * first) / (512 + 0.1 * gpus), 1e-9));
    CHECK_THAT(row.time.value, WithinRel(1e5 * (512 / gpus + 0.1), 1e-9));
    CHECK_THAT(row.high.value, WithinRel(1.2 * row.time.value, 1e-9));
  }
  REQUIRE(result.knee);
  CHECK(*result.knee == result.rows.size() - 1);
  CHECK(result.choice == *result.knee - 1);  // the largest before the knee
  CHECK(result.cheapest == 0);
  CHECK(result.fastest == result.rows.size() - 1);
}

TEST_CASE("a deadline buys the cheapest size that meets it", "[study]") {
  const Run run = load({"gpus=1"});
  PlanOptions options = options_of(kTokens);
  options.deadline = Seconds(1e5 * (512.0 / 64 + 0.1) + 1);  // of 64 GPUs
  const Plan result = plan(run, options, made_up);
  REQUIRE(result.choice);
  CHECK(result.rows[*result.choice].point.gpus == 64);
  SECTION("which a budget may forbid") {
    options.budget = *result.rows[*result.choice].bill.dollars - 1;
    const Plan poor = plan(run, options, made_up);
    CHECK_FALSE(poor.choice);
    CHECK(poor.why == "no size meets the deadline within the budget");
  }
}

TEST_CASE("a deadline that no size can meet is said to be one", "[study]") {
  PlanOptions options = options_of(kTokens);
  options.deadline = Seconds(1000);  // 0.1 s a step remain for 100,000 steps
  const Plan result = plan(load({"gpus=1"}), options, made_up);
  CHECK_FALSE(result.choice);
  CHECK(result.why == "no size meets the deadline");
}

TEST_CASE("a budget alone buys the fastest size that it pays for", "[study]") {
  PlanOptions options = options_of(kTokens);
  options.budget = 1e5 * (512 + 0.1 * 300) / 3600 * 2;  // of 300 GPUs
  const Plan result = plan(load({"gpus=1"}), options, made_up);
  REQUIRE(result.choice);
  CHECK(result.rows[*result.choice].point.gpus == 256);
}

TEST_CASE("FLOPs of a plan are 6 P D, and more with attention", "[study]") {
  const Run run = load({"gpus=1"});
  const Plan result = plan(run, options_of(1e12), made_up);
  CHECK_THAT(result.six_pd,
             WithinRel(6 * static_cast<double>(activated_parameters(run.model)) * 1e12, 1e-12));
  CHECK(result.exact_flops > result.six_pd);
  CHECK(result.exact_flops < 1.5 * result.six_pd);  // 12 l h s / 6 P = 0.16 for 4,096 tokens
}

TEST_CASE("a refused or dead layout leaves the others, and none leaves a plan without sizes",
          "[study]") {
  const Run run = load({"gpus=1"});
  const Plan result = plan(run, options_of(kTokens), [](const std::vector<std::string>& sets) {
    PlanPoint point = made_up(sets);
    point.fits = false;
    return point;
  });
  CHECK_FALSE(result.smallest);
  CHECK(result.rows.empty());
  CHECK(result.why == "no layout of this run fits on any size that was tried");
}

TEST_CASE("every layout that is guessed can be run", "[study]") {
  struct Case {
    std::string platform;
    std::string model;
    std::int64_t gpus;
  };
  for (const Case& each :
       {Case{"dgx-h100", "llama-3-8b", 16}, Case{"summit", "gpt-neox-20b", 24},
        Case{"dgx-h100", "mixtral-8x7b", 32}, Case{"mixed-a100-h100", "llama-2-7b", 32}}) {
    INFO(each.model << " on " << each.platform);
    const std::string stack =
        each.platform == "summit" ? "megatron-deepspeed-2022" : "megatron-core-2024";
    const std::vector<std::string> keys = {
        "gpus=" + std::to_string(each.gpus), "training.global_batch=768", "stack=" + stack,
        std::string("training.precision=") + (each.platform == "summit" ? "fp16" : "bf16")};
    const Run run = load(keys, each.platform, each.model);
    const std::vector<GuessedLayout> guesses = guess_layouts(run, each.gpus, BatchRule::given);
    CHECK(guesses.size() > 20);
    for (const GuessedLayout& guess : guesses) {
      INFO(guess.layout.text());
      std::vector<std::string> sets = keys;
      for (const std::string& set : guess.layout.sets()) {
        sets.push_back(set);
      }
      CHECK_NOTHROW(load(sets, each.platform, each.model));
      CHECK(guess.step.value > 0);
    }
  }
}

TEST_CASE("guesses of time and memory stay near the simulator's", "[study]") {
  // They only choose what is simulated: a third of the time and a fifth of the memory is near
  // enough.
  const Run run = load({"gpus=32"});
  const auto guesses = guess_layouts(run, 32, BatchRule::given);
  for (std::size_t i = 0; i < std::min<std::size_t>(guesses.size(), 8); ++i) {
    const GuessedLayout& guess = guesses[i];
    INFO(guess.layout.text());
    const PlanPoint point = plan_point(simulate(load(guess.layout.sets())).prediction);
    CHECK_THAT(guess.step.value, WithinRel(point.step_time.value, 0.33));
    CHECK_THAT(guess.peak / memory_of_gpu(run.cluster), WithinRel(point.memory_use, 0.2));
  }
}

TEST_CASE("the examples of prices and power read, and the user's numbers replace them", "[study]") {
  config::Sources sources;
  const std::string path = source_catalogue().platforms + "/prices.toml";
  const Run run = load({"gpus=1"});
  const Economics economics = load_economics(sources, path, run.cluster, {});
  REQUIRE(economics.price);
  CHECK(economics.has_power());
  CHECK(economics.notes.size() == 1);
  EconomicsChoice choice;
  choice.price = 3;
  choice.pue = 1.1;
  const Economics own = load_economics(sources, path, run.cluster, choice);
  CHECK(own.price == 3);
  CHECK(own.pue == 1.1);
  CHECK(own.load == economics.load);
  CHECK(own.notes.empty());
  SECTION("and of mixed kinds the mean counts") {
    const Run mixed = load({"nodes=2"}, "mixed-a100-h100");
    const Run a100 = load({"gpus=1"}, "dgx-a100-80gb");
    CHECK_THAT(
        *load_economics(sources, path, mixed.cluster, {}).load,
        WithinRel((*load_economics(sources, path, a100.cluster, {}).load + *economics.load) / 2,
                  1e-12));
  }
}

TEST_CASE("a plan is printed as text, JSON and CSV", "[study]") {
  const Run run = load({"gpus=1"});
  PlanOptions options = options_of(kTokens);
  options.tokens_note = "as given";
  const Plan result = plan(run, options, made_up);
  const std::string text = plan_text(result, run, options);
  CHECK(text.find("<- buy") != std::string::npos);
  CHECK(text.find("to buy       ") != std::string::npos);
  CHECK(text.find("stops paying at ") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') < 40);  // a screen
  const auto json = nlohmann::json::parse(plan_json(result, run, options, {}));
  CHECK(json.at("sizes").size() == result.rows.size());
  CHECK(json.at("choice") == *result.choice);
  CHECK(json.at("sizes")[0].at("dollars") == *result.rows[0].bill.dollars);
  const std::string csv = plan_csv(result);
  CHECK(std::count(csv.begin(), csv.end(), '\n') ==
        static_cast<std::ptrdiff_t>(result.rows.size() + 1));
}

}  // namespace
}  // namespace foretrain::testing
