// SPDX-License-Identifier: Apache-2.0
// All of --live with a trainer whose steps take what the simulator predicts: any error is ours.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"
#include "validation/live/measurement.hpp"

namespace foretrain::testing {
namespace {

const std::string kTrainer =
    std::string(FORETRAIN_SOURCE_DIR) + "/tests/validation/live/fake_trainer.sh";

Outcome live(const std::vector<std::string>& more) {
  ::setenv("FORETRAIN_BINARY", FORETRAIN_BINARY, 1);
  return command_line(with({"validate", "--live", "--short", "--trainer", kTrainer}, more));
}

}  // namespace

TEST_CASE("where steps take what is predicted, live validation finds no error", "[live]") {
  const Outcome outcome = live({"--format", "json", "--tolerance", "0.1"});
  INFO(outcome.talk);
  REQUIRE(outcome.code == 0);
  const auto json = nlohmann::json::parse(outcome.out);
  CHECK(json.at("all").at("count").get<int>() >= 5);  // one rate where links cannot be shaped
  CHECK(json.at("all").at("mape").get<double>() < 1e-3);
  CHECK(json.at("all").at("kendall_tau") == 1.0);
  CHECK(json.at("hardware") == "no machine");
  // The fake does not notice that half of its core is gone: the prediction does.
  const auto straggler = json.at("settings").back();
  CHECK(straggler.at("straggler") == "half of rank 1's core");
  CHECK(straggler.at("error").get<double>() > 0.5);
}

TEST_CASE("live validation keeps its files where it is told to", "[live]") {
  const ScratchFolder folder;
  const std::string kept = folder.path() + "/kept";
  const Outcome outcome = live({"--keep", kept, "--format", "csv", "--rates", "400 Mb/s"});
  INFO(outcome.talk);
  REQUIRE(outcome.code == 0);
  CHECK(split(outcome.out, '\n').size() == 1 + 6);
  for (const char* file :
       {"gpu.toml", "stack.toml", "predictions.csv", "measured-alone-small-1.toml"}) {
    INFO(file);
    CHECK(std::filesystem::exists(kept + "/" + file));
  }
}

TEST_CASE("options of live validation are refused without it", "[live]") {
  const Outcome outcome = command_line({"validate", "--short"});
  CHECK(outcome.code == 2);
  CHECK(has(outcome.talk, "--live"));
  CHECK(has(live({"--rates", "400"}).talk, "--rates: expected a rate such as \"400 Mb/s\""));
}

TEST_CASE("without the trainer live validation says how to build it", "[live]") {
  const Outcome outcome = command_line({"validate", "--live", "--trainer", "/no/trainer"});
  CHECK(outcome.code == 2);
  CHECK(has(outcome.talk, "/no/trainer: the trainer is not there; build it: "));
}

TEST_CASE("a trainer that fails is told with its words", "[live]") {
  ::setenv("FORETRAIN_BINARY", "/no/foretrain", 1);
  const Outcome outcome =
      command_line({"validate", "--live", "--short", "--trainer", "/bin/false"});
  CHECK(outcome.code == 1);
  CHECK(has(outcome.talk, "error: benchmark kernels: exit code 1"));
}

TEST_CASE("a measurement file gives the median, the extremes and where they are from", "[live]") {
  const ScratchFolder folder;
  config::Sources sources;
  const std::string good = folder.write("m.toml", R"(platform = "x"
[measured]
step_time = "400 ms"
source = "a test"
[measured.record]
hardware = "two cores"
repeats = 7
fastest = "390 ms"
slowest = "430 ms"
)");
  const live::StepMeasurement step = live::read_measurement(sources, good);
  CHECK(step.median.value == Catch::Approx(0.4));
  CHECK(step.spread() == Catch::Approx(0.1));
  CHECK(step.repeats == 7);
  CHECK(step.hardware == "two cores");
  const std::string bad = folder.write("bad.toml", "[measured]\nstep_time = 3\n");
  CHECK_THROWS_WITH(live::read_measurement(sources, bad),
                    Catch::Contains("step_time") && Catch::Contains("missing key 'record'"));
}

}  // namespace foretrain::testing
