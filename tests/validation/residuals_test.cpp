// SPDX-License-Identifier: Apache-2.0
// Error bars: quantiles by kind, coverage of sources held out, and the interval of a prediction.
#include "validation/residuals.hpp"

#include <stdexcept>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::validation {
namespace {

void add(std::vector<Outcome>& outcomes, const std::string& group, const std::string& kind,
         const std::vector<double>& errors) {
  for (const double error : errors) {
    Outcome outcome;
    outcome.group = group;
    outcome.kind = kind;
    outcome.time = TimeResult{1, 1 + error, 1};
    outcomes.push_back(outcome);
  }
}

const KindResiduals& find(const std::vector<KindResiduals>& residuals, const std::string& kind) {
  for (const KindResiduals& one : residuals) {
    if (one.kind == kind) {
      return one;
    }
  }
  throw std::runtime_error("no residuals of " + kind);
}

TEST_CASE("a kind needs three sources, and all runs always count", "[residuals]") {
  std::vector<Outcome> outcomes;
  add(outcomes, "a", "x", {0.1});
  add(outcomes, "b", "x", {0.2});
  add(outcomes, "c", "y", {-0.1});
  const auto residuals = residuals_of(outcomes);
  REQUIRE(residuals.size() == 1);
  CHECK(residuals[0].kind == kEveryKind);
  CHECK(residuals[0].cases == 3);
  CHECK(residuals[0].low == Catch::Approx(-0.1));
  CHECK(residuals[0].high == Catch::Approx(0.2));
}

TEST_CASE("coverage counts cases within the band of the other sources", "[residuals]") {
  std::vector<Outcome> outcomes;
  add(outcomes, "a", "x", {-0.1, 0.1});
  add(outcomes, "b", "x", {-0.2, 0.2});
  add(outcomes, "c", "x", {0.0, 0.5});
  // Without a: -0.2 to 0.5 holds both. Without b: -0.1 to 0.5 holds 0.2 only. Without c: -0.2 to
  // 0.2 holds 0 only.
  const auto residuals = residuals_of(outcomes);
  CHECK(find(residuals, "x").within == 4);
  CHECK(find(residuals, "x").cases == 6);
  CHECK(find(residuals, "x").sources == 3);
}

TEST_CASE("groups that share the start of their name are one source", "[residuals]") {
  std::vector<Outcome> outcomes;
  add(outcomes, "a-1", "x", {0.1});
  add(outcomes, "a-2", "x", {0.2});
  add(outcomes, "b", "x", {0.3});
  CHECK(residuals_of(outcomes).empty());
  add(outcomes, "c", "x", {0.4});
  CHECK(find(residuals_of(outcomes), "x").sources == 3);
  CHECK(find(residuals_of(outcomes), "x").cases == 4);
}

TEST_CASE("a source of many runs weighs no more than one of few", "[residuals]") {
  std::vector<Outcome> outcomes;
  add(outcomes, "a", "x", std::vector<double>(100, 0.0));
  add(outcomes, "b", "x", {0.3});
  add(outcomes, "c", "x", {0.3});
  CHECK(find(residuals_of(outcomes), "x").high == Catch::Approx(0.3));  // a third, not a hundredth
}

TEST_CASE("residuals are written and read back", "[residuals]") {
  std::vector<Outcome> outcomes;
  add(outcomes, "a", "x", {-0.125});
  add(outcomes, "b", "x", {0.25});
  add(outcomes, "c", "x", {0.0});
  const testing::ScratchFolder folder;
  const std::string path = folder.write("residuals.toml", residuals_toml(residuals_of(outcomes)));
  config::Sources sources;
  const auto read = load_residuals(sources, path);
  REQUIRE(read.size() == 2);
  CHECK(find(read, "x").low == Catch::Approx(-0.125));
  CHECK(find(read, "x").high == Catch::Approx(0.25));
  CHECK(find(read, "x").cases == 3);
  const std::string wrong = folder.write(
      "wrong.toml", "[[residuals]]\nkind = \"x\"\nsources = 3\ncases = 3\nlow = 0.2\nhigh = 0.1\n");
  CHECK_THROWS_AS(load_residuals(sources, wrong), ConfigError);
}

TEST_CASE("the interval is where the real step lies if the error is between the quantiles",
          "[residuals]") {
  Run run;
  run.parallel.zero = 3;
  const std::vector<KindResiduals> residuals = {{"all", 9, 90, -0.5, 0.5, 80},
                                                {"fully sharded", 3, 30, -0.2, 0.25, 27}};
  const auto interval = interval_of(run, Seconds(10), residuals);
  REQUIRE(interval);
  CHECK(interval->kind == "fully sharded");
  CHECK(interval->low.value == Catch::Approx(8));      // 25 % too slow: 10 / 1.25
  CHECK(interval->high.value == Catch::Approx(12.5));  // 20 % too fast: 10 / 0.8
  CHECK(interval->within == 27);
  run.parallel.zero = 0;
  CHECK(interval_of(run, Seconds(10), residuals)->kind == "all");
  CHECK_FALSE(interval_of(run, Seconds(10), {}));
}

}  // namespace
}  // namespace foretrain::validation
