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
PlanPoint made_up_point(std::int64_t gpus) {
  PlanPoint point;
  point.gpus = gpus;
  point.step_time = Seconds(512.0 / static_cast<double>(gpus) + 0.1);
  point.low = point.step_time * 0.9;
  point.high = point.step_time * 1.2;
  point.memory_use = 0.5;
  point.fits = true;
  point.idle_share = 0.25;
  return point;
}

const LayoutFinders made_up_finders = {made_up_point, made_up_point};

PlanOptions options_of(double tokens) {
  PlanOptions options;
  options.tokens = tokens;
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
  const Plan result = plan(run, options, made_up_finders);
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
  const Plan result = plan(run, options, made_up_finders);
  REQUIRE(result.choice);
  CHECK(result.rows[*result.choice].point.gpus == 64);
  SECTION("which a budget may forbid") {
    options.budget = *result.rows[*result.choice].bill.dollars - 1;
    const Plan poor = plan(run, options, made_up_finders);
    CHECK_FALSE(poor.choice);
    CHECK(poor.why == "no size meets the deadline within the budget");
  }
}

TEST_CASE("a deadline that no size can meet is said to be one", "[study]") {
  PlanOptions options = options_of(kTokens);
  options.deadline = Seconds(1000);  // 0.1 s a step remain for 100,000 steps
  const Plan result = plan(load({"gpus=1"}), options, made_up_finders);
  CHECK_FALSE(result.choice);
  CHECK(result.why == "no size meets the deadline");
}

TEST_CASE("a budget alone buys the fastest size that it pays for", "[study]") {
  PlanOptions options = options_of(kTokens);
  options.budget = 1e5 * (512 + 0.1 * 300) / 3600 * 2;  // of 300 GPUs
  const Plan result = plan(load({"gpus=1"}), options, made_up_finders);
  REQUIRE(result.choice);
  CHECK(result.rows[*result.choice].point.gpus == 256);
}

TEST_CASE("FLOPs of a plan are 6 P D, and more with attention", "[study]") {
  const Run run = load({"gpus=1"});
  const Plan result = plan(run, options_of(1e12), made_up_finders);
  CHECK_THAT(result.six_pd,
             WithinRel(6 * static_cast<double>(activated_parameters(run.model)) * 1e12, 1e-12));
  CHECK(result.exact_flops > result.six_pd);
  CHECK(result.exact_flops < 1.5 * result.six_pd);  // 12 l h s / 6 P = 0.16 for 4,096 tokens
}

PlanPoint refused(std::int64_t gpus) {
  PlanPoint point;
  point.gpus = gpus;
  point.refusal = "no layout fits";
  return point;
}

TEST_CASE("sizes without a layout are left out, and a plan without sizes says why", "[study]") {
  const Run run = load({"gpus=1"});
  PlanOptions options = options_of(kTokens);
  const Plan none = plan(run, options, {refused, refused});
  CHECK_FALSE(none.smallest);
  CHECK(none.rows.empty());
  CHECK(none.why == "no layout of this run fits on any size that was tried");
  options.sizes = {8, 24, 16};
  const Plan some =
      plan(run, options,
           {[](std::int64_t gpus) { return gpus == 24 ? refused(gpus) : made_up_point(gpus); },
            refused});
  REQUIRE(some.rows.size() == 2);
  CHECK(some.rows[1].point.gpus == 16);
  CHECK(plan(run, options, {refused, refused}).why ==
        "no layout of this run fits on any size that was tried: no layout fits");
}

TEST_CASE("failures make a planned training longer and dearer by the same factor", "[study]") {
  const Run run = load({"gpus=1"});
  const PlanOptions options = options_of(kTokens);
  const Plan result = plan(run, options, made_up_finders);
  const PlanRow& row = result.rows.back();
  config::Sources sources;
  goodput::Reliability reliability = goodput::load_reliability(
      sources, std::nullopt, source_catalogue().platforms + "/reliability", "");
  const WithFailures with = with_failures(run, row, options, reliability);
  CHECK(with.rates == goodput::kUsualRates);
  CHECK(with.effective > 0.5);
  CHECK(with.effective < 1);
  CHECK_THAT(with.time.value, WithinRel(row.time.value / with.effective, 0.02));
  CHECK_THAT(*with.dollars, WithinRel(*row.bill.dollars * (with.time / row.time), 1e-9));
  for (goodput::PartFailures& part : reliability.parts) {
    part.mean_time.reset();
  }
  reliability.maintenance.reset();
  reliability.stragglers.reset();
  CHECK_THAT(with_failures(run, row, options, reliability).time.value,
             WithinRel(row.time.value, 1e-9));
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
  const Plan result = plan(run, options, made_up_finders);
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
