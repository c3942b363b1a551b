// foretrain search as a user meets it.
// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<std::string> narrow(const std::vector<std::string>& more = {}) {
  return with({"--fix", "parallel.tensor=2", "--fix", "training.micro_batch=1", "--fix",
               "training.recompute=none", "--fix", "offload.optimizer=false", "--top", "2"},
              more);
}

}  // namespace

TEST_CASE("search prints the space, the fates, the proof and the list", "[cli][search]") {
  const SmallRun small;
  const Outcome outcome = small("search", narrow({"--verify"}));
  CHECK(outcome.code == cli::kGood);
  for (const char* part : {"layouts", "refused by a check", "too slow", "simulated",
                           "proved: the best remaining bound", "most besides computing",
                           "the first of them: --set nodes=1 --set parallel.tensor=2"}) {
    CHECK(has(outcome.out, part));
  }
  CHECK(has(outcome.talk, "verify: the simulation of every admissible layout agrees"));
}

TEST_CASE("what search finds first, simulate predicts", "[cli][search]") {
  const SmallRun small;
  const auto found = nlohmann::json::parse(small("search", narrow({"--format", "json"})).out);
  CHECK(found["proved"] == true);
  const auto& best = found["top"][0];
  std::vector<std::string> sets = {"--format", "json"};
  for (const auto& assignment : best["sets"]) {
    sets.insert(sets.end(), {"--set", assignment.get<std::string>()});
  }
  const auto predicted = nlohmann::json::parse(small("simulate", sets).out);
  CHECK(predicted["step_time_s"] == best["step_time_s"]);
  CHECK(predicted["mfu"] == best["mfu"]);
}

TEST_CASE("search writes the list and the front as CSV", "[cli][search]") {
  const SmallRun small;
  const std::string front = small.folder().path() + "/front.csv";
  const Outcome outcome = small(
      "search", narrow({"--format", "csv", "--gpus", "4,8", "--pareto", front, "--price", "$2/h"}));
  CHECK(outcome.code == cli::kGood);
  const auto lines = split(outcome.out, '\n');
  REQUIRE(lines.size() == 3);  // header and --top 2
  CHECK(lines[0].starts_with("gpus,step_time_s,value,cost_per_step,mfu,memory_peak_bytes"));
  std::ifstream file(front);
  std::string header;
  std::getline(file, header);
  CHECK(header == lines[0]);
  std::string first;
  std::getline(file, first);
  CHECK(first.starts_with("4,"));  // the fewest GPUs first
}

TEST_CASE("search changes hardware on one line, as the other commands do", "[cli][search]") {
  const SmallRun small;
  const auto best = [&](const std::vector<std::string>& more) {
    const Outcome outcome = small("search", narrow(with({"--format", "json"}, more)));
    return nlohmann::json::parse(outcome.out)["top"][0]["step_time_s"].get<double>();
  };
  CHECK(best({"--what-if", "nvlink=-90%"}) > best({}));
  CHECK(has(small("search", narrow({"--what-if", "nvlink=-90%"})).out, "what if nvlink"));
}

TEST_CASE("search knows what GPU time costs and draws", "[cli][search]") {
  const SmallRun small;
  const Outcome cheap = small("search", narrow({"--objective", "cost"}));
  CHECK(cheap.code == cli::kGood);
  CHECK(has(cheap.out, "is an example for a100"));
  const Outcome own = small("search", narrow({"--objective", "cost", "--price", "$9/h"}));
  CHECK_FALSE(has(own.out, "is an example for"));
  const Outcome frugal = small("search", narrow({"--objective", "energy", "--idle-power", "70 W"}));
  CHECK(frugal.code == cli::kGood);
  CHECK(has(frugal.out, "70 W waiting"));
}

TEST_CASE("a search in which nothing fits ends with 3", "[cli][search]") {
  const SmallRun small;
  const Outcome outcome = small("search", with(too_large(), {"--fix", "training.micro_batch=1",
                                                             "--fix", "offload.optimizer=false"}));
  CHECK(outcome.code == cli::kConditionFailed);
  CHECK(has(outcome.out, "nothing fits"));
}

TEST_CASE("what a search cannot do anything with ends with 2", "[cli][search]") {
  const SmallRun small;
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"--fix", "parallel.tensr=2"},
        {"--objective", "fame"},
        {"--price", "cheap"},
        {"--price", "2.5"},
        {"--load-power", "700"},
        {"--headroom", "lots"},
        {"--headroom", "100%"},
        {"--gpus", "4", "--nodes", "1"},
        {"--gpus", "none"},
        {"--top", "0"}}) {
    const Outcome outcome = small("search", wrong);
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    CHECK(outcome.talk.starts_with("error: "));
  }
}

}  // namespace foretrain::testing
