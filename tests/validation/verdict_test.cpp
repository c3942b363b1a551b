// SPDX-License-Identifier: Apache-2.0
// What many outcomes come to, by source and in all, and how it is told.
#include "validation/verdict.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/support/catch.hpp"

namespace foretrain::validation {
namespace {

Outcome timed(const std::string& group, double measured, double predicted) {
  Outcome outcome;
  outcome.id = group + "-" + std::to_string(measured);
  outcome.group = group;
  outcome.tokens_per_step = 1000;
  outcome.time = TimeResult{measured, predicted, 2 * measured};
  return outcome;
}

Outcome refused(const std::string& group, const std::string& reason) {
  Outcome outcome;
  outcome.group = group;
  outcome.refusal = reason;
  return outcome;
}

Outcome fitting(bool fits, double share) {
  Outcome outcome;
  outcome.group = "a";
  outcome.fit = FitResult{fits, share};
  return outcome;
}

TEST_CASE("errors are told by source in the order of the first case, and for all", "[verdict]") {
  const Verdict verdict = verdict_of({timed("b", 10, 11), timed("a", 10, 8), timed("b", 10, 13)});
  REQUIRE(verdict.sources.size() == 2);
  CHECK(verdict.sources[0].group == "b");
  CHECK(verdict.sources[0].time.count == 2);
  CHECK(verdict.sources[0].time.mean_absolute == Catch::Approx(0.2));
  CHECK(verdict.sources[0].time.bias == Catch::Approx(0.2));
  CHECK(verdict.sources[1].time.worst == Catch::Approx(-0.2));
  CHECK(verdict.all.time.count == 3);
  CHECK(verdict.all.time.mean_absolute == Catch::Approx(0.2));
  CHECK(verdict.all.naive.mean_absolute == Catch::Approx(1.0));
}

TEST_CASE("a sweep of four layouts is ranked, one of three is not", "[verdict]") {
  std::vector<Outcome> outcomes = {timed("a", 10, 10), timed("a", 11, 12), timed("a", 12, 11)};
  for (Outcome& outcome : outcomes) {
    outcome.sweep = "one model";
  }
  CHECK(verdict_of(outcomes).sweeps.empty());
  outcomes.push_back(timed("a", 13, 13));
  outcomes.back().sweep = "one model";
  const Verdict verdict = verdict_of(outcomes);
  REQUIRE(verdict.sweeps.size() == 1);
  CHECK(verdict.sweeps[0].layouts == 4);
  CHECK(verdict.sweeps[0].tau.value() == Catch::Approx(4.0 / 6));  // one of six pairs is reversed
  CHECK(verdict.sweeps[0].regret == Catch::Approx(0));
  CHECK(verdict.sources[0].mean_tau == Catch::Approx(4.0 / 6));
}

TEST_CASE("layouts of unlike batches are ranked by time per token", "[verdict]") {
  // The second takes longer but trains four times as many tokens: it is the best one.
  std::vector<Outcome> outcomes = {timed("a", 10, 10), timed("a", 20, 20), timed("a", 30, 30),
                                   timed("a", 40, 40)};
  outcomes[1].tokens_per_step = 4000;
  for (Outcome& outcome : outcomes) {
    outcome.sweep = "one model";
  }
  outcomes[0].time->predicted = 1;  // chosen: 10 / 1000 against 20 / 4000
  CHECK(verdict_of(outcomes).sweeps[0].regret == Catch::Approx(1.0));
}

TEST_CASE("near the capacity a prediction does not decide", "[verdict]") {
  const FitVerdict fit = verdict_of({fitting(true, 0.5), fitting(false, 0.5), fitting(true, 0.9),
                                     fitting(false, 1.05), fitting(false, 1.2), fitting(true, 1.2)})
                             .all.fit;
  CHECK(fit.right == 2);
  CHECK(fit.wrong == 2);
  CHECK(fit.uncertain == 2);
  CHECK(fit.out_of_memory == 3);
}

TEST_CASE("memory of an allocator and of a device are told apart", "[verdict]") {
  Outcome allocator = timed("a", 1, 1);
  allocator.memory = MemoryResult{10e9, 11e9, true};
  Outcome device = timed("a", 1, 1);
  device.memory = MemoryResult{10e9, 8e9, false};
  const Verdict verdict = verdict_of({allocator, device});
  CHECK(verdict.all.allocator_memory.bias == Catch::Approx(0.1));
  CHECK(verdict.all.device_memory.bias == Catch::Approx(-0.2));
}

TEST_CASE("what was not predicted is counted by reason, the most first", "[verdict]") {
  const Verdict verdict =
      verdict_of({refused("a", "x"), refused("a", "y"), refused("a", "y"), timed("a", 1, 1)});
  REQUIRE(verdict.refusals.size() == 2);
  CHECK(verdict.refusals[0].first == "a: y");
  CHECK(verdict.refusals[0].second == 2);
}

TEST_CASE("the text lists the worst case of a source first and says what it left out",
          "[verdict]") {
  const std::vector<Outcome> outcomes = {timed("a", 10, 11), timed("a", 20, 30),
                                         refused("a", "not stated: heads")};
  const std::string text = verdict_text(outcomes, verdict_of(outcomes), 1);
  CHECK(text.find("a-20") != std::string::npos);
  CHECK(text.find("a-10") == std::string::npos);
  CHECK(text.find("... 1 more") != std::string::npos);
  CHECK(text.find("not predicted: 1 of 3 cases") != std::string::npos);
}

TEST_CASE("JSON and CSV hold every case", "[verdict]") {
  std::vector<Outcome> outcomes = {timed("a", 10, 11), refused("b", "said \"no\", twice")};
  const auto json = nlohmann::json::parse(verdict_json(outcomes, verdict_of(outcomes)));
  CHECK(json["cases"].size() == 2);
  CHECK(json["all"]["time"]["mape"] == Catch::Approx(0.1));
  CHECK(json["not_predicted"][0]["count"] == 1);
  const std::string csv = outcomes_csv(outcomes);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);
  CHECK(csv.find("\"said \"\"no\"\", twice\"") != std::string::npos);
}

}  // namespace
}  // namespace foretrain::validation
