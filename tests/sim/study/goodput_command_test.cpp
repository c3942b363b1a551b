// foretrain goodput, from a run file to what it prints.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

using Words = std::vector<std::string>;

/// 30 days of the small run, with a failure every hour on average, and a given step.
Words often(const Words& more = {}) {
  return with({"--set", "reliability.duration=30 d", "--set", "reliability.gpu.mtbf=8 h", "--set",
               "reliability.spares=50", "--set", "reliability.checkpoint.bandwidth=1 GB/s",
               "--step-time", "1 s", "--runs", "40"},
              more);
}

Json first_of(const Outcome& outcome) { return Json::parse(outcome.out).at("sizes")[0]; }

}  // namespace

TEST_CASE("goodput prints effective time, causes, tokens and closed forms", "[study]") {
  const SmallRun small;
  const Outcome text = small("goodput", often({"--price", "$2.5/h"}));
  CHECK(text.code == cli::kGood);
  for (const char* part :
       {"effective training time", "recomputed work", "detection", "checkpoint stalls",
        "tokens per day", "whole training", "GPU-hours", " at $2.50/h", "Daly 2006",
        "Kokolis et al. 2025", "assumed or transferred: restart"}) {
    INFO(part);
    CHECK(has(text.out, part));
  }
  CHECK(split(text.out, '\n').size() < 30);  // a screen
}

TEST_CASE("goodput says the same in JSON, whose shares add up to the whole", "[study]") {
  const SmallRun small;
  const Json size = first_of(small("goodput", often({"--format", "json"})));
  double sum = size.at("effective_training_time").at("mean");
  for (const auto& [cause, estimate] : size.at("lost").items()) {
    sum += estimate.at("mean").get<double>();
  }
  CHECK_THAT(sum, WithinRel(1.0, 1e-9));
  CHECK_THAT(size.at("job").at("between_failures_s").get<double>(), WithinAbs(3600, 10));
  // 128 x 8 tokens in a second; what is left of a day.
  CHECK_THAT(
      size.at("tokens_per_day").at("mean").get<double>(),
      WithinRel(1024 * 86400 * size.at("effective_training_time").at("mean").get<double>(), 1e-9));
  CHECK_THAT(size.at("time_to_finish_s").get<double>(),
             WithinRel(1e9 / size.at("tokens_per_day").at("mean").get<double>() * 86400, 1e-9));
  CHECK(size.at("dollars").is_null());
}

TEST_CASE("goodput ends with its tokens where there is no duration", "[study]") {
  const SmallRun small;
  const Json size = first_of(small(
      "goodput", {"--step-time", "1 s", "--set", "reliability.rates=usual", "--format", "json"}));
  // Nothing fails, so no checkpoint is written: 1e9 / 1024 steps.
  CHECK_THAT(size.at("time_to_finish_s").get<double>(), WithinRel(1e9 / 1024, 1e-9));
  CHECK_THAT(size.at("effective_training_time").at("mean").get<double>(), WithinRel(1.0, 1e-12));
  CHECK(size.at("closed_forms").is_null());
  CHECK(size.at("job").at("between_failures_s").is_null());
}

TEST_CASE("goodput needs an end of the run", "[study]") {
  const SmallRun small;
  const std::string run = kSmallRun;
  const std::string file = small.folder().write(
      "endless.toml", run.substr(0, run.find("tokens")) + run.substr(run.find("\n\n[parallel]")));
  const Outcome outcome = command_line({"goodput", file, "--step-time", "1 s"});
  CHECK(outcome.code == cli::kBadInput);
  CHECK(has(outcome.talk, "training.tokens"));
}

TEST_CASE("goodput is the same for the same seed, whatever the jobs, and else another", "[study]") {
  const SmallRun small;
  const Words simulated = {"--set",   "reliability.gpu.mtbf=8 h",
                           "--set",   "reliability.duration=9 d",
                           "--runs",  "20",
                           "--nodes", "1,2",
                           "--set",   "training.global_batch=16"};
  const Outcome one = small("goodput", with(simulated, {"--jobs", "1"}));
  CHECK(one.code == cli::kGood);
  CHECK(one.out == small("goodput", with(simulated, {"--jobs", "4"})).out);
  CHECK(one.out != small("goodput", with(simulated, {"--seed", "2"})).out);
}

TEST_CASE("goodput simulates its steps as simulate does", "[study]") {
  const SmallRun small;
  const Json step = Json::parse(small("simulate", {"--format", "json"}).out);
  const Json size = first_of(small("goodput", {"--runs", "2", "--format", "json"}));
  CHECK(size.at("step_time_s") == step.at("step_time_s"));
}

TEST_CASE("twice the nodes are not twice as fast when they fail twice as often", "[study]") {
  const SmallRun small;
  const Outcome table = small("goodput", often({"--nodes", "1,2,4"}));
  CHECK(has(table.out, "2 x the GPUs: the step alone 2.000 x as fast, with failures 1."));
  const auto csv =
      split(small("goodput", often({"--nodes", "1,2,4", "--format", "csv"})).out, '\n');
  REQUIRE(csv.size() == 4);
  const auto column = [&](std::size_t row, const std::string& name) {
    const auto names = split(csv[0], ',');
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) {
        return std::stod(split(csv[row], ',')[i]);
      }
    }
    return -1.0;
  };
  CHECK(column(2, "gpus") == 16);
  CHECK_THAT(column(2, "between_failures_s"), WithinRel(column(1, "between_failures_s") / 2, 1e-9));
  CHECK(column(2, "effective") < column(1, "effective"));
  CHECK(column(3, "effective") < column(2, "effective"));
}

TEST_CASE("a job that may shrink is simulated with fewer replicas", "[study]") {
  const SmallRun small;
  const auto rate = [&](int nodes, int batch) {
    const Outcome outcome =
        small("simulate", {"--set", "nodes=" + std::to_string(nodes), "--set",
                           "training.global_batch=" + std::to_string(batch), "--format", "json"});
    return Json::parse(outcome.out).at("tokens_per_s").get<double>();
  };
  const Words options = {"--set",    "nodes=4",
                         "--set",    "training.global_batch=32",
                         "--set",    "reliability.shrink=2",
                         "--runs",   "2",
                         "--format", "json"};
  const Json rates = first_of(small("goodput", options)).at("job").at("shrunk_rates");
  REQUIRE(rates.size() == 2);
  // Two replicas a node, each with its four sequences.
  CHECK_THAT(rates[0].get<double>(), WithinRel(rate(3, 24) / rate(4, 32), 1e-9));
  CHECK_THAT(rates[1].get<double>(), WithinRel(rate(2, 16) / rate(4, 32), 1e-9));
}

TEST_CASE("goodput that never gets there says so", "[study]") {
  const SmallRun small;
  const Outcome outcome =
      small("goodput", {"--step-time", "1 s", "--set", "reliability.gpu.mtbf=8 min", "--set",
                        "reliability.spares=10000", "--runs", "3"});
  CHECK(outcome.code == cli::kConditionFailed);
  CHECK(has(outcome.out, "given up"));
}

TEST_CASE("goodput refuses what it cannot read", "[study]") {
  const SmallRun small;
  for (const Words& options : std::vector<Words>{{"--step-time", "5"},
                                                 {"--step-time", "0 s"},
                                                 {"--runs", "0"},
                                                 {"--nodes", "x"},
                                                 {"--price", "2.5"},
                                                 {"--set", "reliability.gpu.mtbf=5"}}) {
    const Outcome outcome = small("goodput", options);
    INFO(options[0] << " " << options[1]);
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    CHECK_FALSE(outcome.talk.empty());
  }
}

TEST_CASE("a mistake in reliability is one for every command", "[study]") {
  const SmallRun small;
  const Outcome outcome = small("check", {"--set", "reliability.spars=5"});
  CHECK(outcome.code == cli::kBadInput);
  CHECK(has(outcome.talk, "did you mean 'spares'"));
}

}  // namespace foretrain::testing
