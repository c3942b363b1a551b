// The simulate command: what its formats hold.
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <numeric>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Json = nlohmann::json;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

std::int64_t picoseconds(const Json& seconds) { return std::llround(seconds.get<double>() * 1e12); }

std::int64_t sum_of(const Json& breakdown) {
  return std::accumulate(
      breakdown.begin(), breakdown.end(), std::int64_t{0},
      [](std::int64_t sum, const Json& part) { return sum + picoseconds(part); });
}

}  // namespace

TEST_CASE("simulate prints data on one stream and talk on the other", "[cli]") {
  const Outcome outcome = SmallRun()("simulate");
  CHECK(outcome.code == cli::kGood);
  CHECK(outcome.out.starts_with("gpt2 on 1 x "));
  for (const char* word : {"step time", "MFU", "pipeline bubble", "total", "stage 0", "stage 1"}) {
    CHECK(has(outcome.out, word));
  }
  CHECK(has(outcome.talk, "events of 2 ranks"));
  CHECK_FALSE(has(outcome.out, "events of"));
}

TEST_CASE("text is the same from run to run", "[cli]") {
  const SmallRun small;
  CHECK(small("simulate").out == small("simulate").out);
}

TEST_CASE("JSON holds the rates of a step and they belong together", "[cli]") {
  const Outcome outcome = SmallRun()("simulate", {"--format", "json"});
  REQUIRE(outcome.code == cli::kGood);
  const Json json = Json::parse(outcome.out);
  const double step = json.at("step_time_s");
  CHECK(step > 0);
  // 8 sequences of 128 tokens per step, on 8 GPUs.
  CHECK_THAT(json.at("tokens_per_s").get<double>(), WithinRel(8 * 128 / step, 1e-9));
  CHECK_THAT(json.at("tokens_per_s_per_gpu").get<double>(), WithinRel(128 / step, 1e-9));
  // 1 G tokens are 1e9 / 1024 steps.
  CHECK_THAT(json.at("training_time_s").get<double>(), WithinRel(1e9 / 1024 * step, 1e-9));
  // The A100's dense 16-bit peak is 312 TFLOP/s.
  const double flops = json.at("model_tflops_per_gpu");
  CHECK_THAT(json.at("mfu").get<double>(), WithinRel(flops / 312, 1e-9));
  CHECK(json.at("hfu") == json.at("mfu"));  // nothing is recomputed
  CHECK(json.at("hardware_tflops_per_gpu") == flops);
}

TEST_CASE("the breakdown of the JSON adds up to the step, in the mean and on every stage",
          "[cli]") {
  const Json json = Json::parse(
      SmallRun()("simulate", {"--format", "json", "--set", "training.recompute=full"}).out);
  const std::int64_t step = picoseconds(json.at("step_time_s"));
  const Json& mean = json.at("breakdown_s");
  for (const char* part : {"compute", "recompute", "exposed_tensor", "exposed_pipeline", "bubble",
                           "optimizer", "host"}) {
    CHECK(mean.contains(part));
  }
  CHECK(sum_of(mean) == step);
  CHECK(json.at("breakdown_by_stage_s").size() == 2);
  for (const Json& stage : json.at("breakdown_by_stage_s")) {
    CHECK(sum_of(stage) == step);
  }
  CHECK(json.at("hfu") > json.at("mfu"));
}

TEST_CASE("the JSON tells memory by class and stage", "[cli]") {
  const Json json = Json::parse(SmallRun()("simulate", {"--format", "json"}).out);
  REQUIRE(json.at("memory").size() == 2);
  for (const Json& stage : json.at("memory")) {
    CHECK(stage.at("fits") == true);
    CHECK(stage.at("peak_bytes") <= stage.at("capacity_bytes"));
    double sum = 0;
    for (const Json& bytes : stage.at("by_class")) {
      sum += bytes.get<double>();
    }
    CHECK(stage.at("peak_bytes") == sum);
    for (const char* name : {"parameters", "gradients", "optimizer", "activations", "context"}) {
      CHECK(stage.at("by_class").at(name) > 0);
    }
  }
  CHECK(json.at("memory")[0].at("stage") == "stage 0");
}

TEST_CASE("the JSON tells how it was simulated and from what", "[cli]") {
  const Json json = Json::parse(SmallRun()("simulate", {"--format", "json"}).out);
  const Json& simulation = json.at("simulation");
  CHECK(simulation.at("ranks") == 8);
  CHECK(simulation.at("simulated_ranks") == 2);
  CHECK(simulation.at("events") > 0);
  CHECK(simulation.at("wall_s") >= 0);
  CHECK(simulation.at("fidelity") == "lumped");
  const Json& provenance = json.at("provenance");
  CHECK_FALSE(provenance.at("version").get<std::string>().empty());
  CHECK(provenance.contains("seed"));
  CHECK(provenance.at("config_hash").get<std::string>().size() == 16);
  // The run file, the model, the cluster, its GPU and the stack, each in full.
  const Json& config = provenance.at("config");
  REQUIRE(config.size() == 5);
  CHECK(config[0].at("text") == kSmallRun);
  CHECK(config[1].at("name") == "models/gpt2.toml");
  for (const Json& input : config) {
    CHECK_FALSE(input.at("text").get<std::string>().empty());
  }
}

TEST_CASE("settings are part of the provenance and change the hash", "[cli]") {
  const SmallRun small;
  const auto provenance = [&](const std::string& setting) {
    const Outcome outcome = small("simulate", {"--format", "json", "--set", setting});
    return Json::parse(outcome.out).at("provenance");
  };
  const Json one = provenance("training.micro_batch=1");
  const Json two = provenance("training.micro_batch=2");
  CHECK(one.at("config_hash") != two.at("config_hash"));
  CHECK(has(two.at("config").dump(), "training.micro_batch=2"));
}

TEST_CASE("CSV has a value for each heading", "[cli]") {
  const Outcome outcome = SmallRun()("simulate", {"--format", "csv"});
  const auto lines = split(outcome.out, '\n');
  REQUIRE(lines.size() == 2);
  const auto headings = split(lines[0], ',');
  const auto values = split(lines[1], ',');
  REQUIRE(headings.size() == values.size());
  CHECK(headings.front() == "step_time_s");
  for (const std::string& value : values) {
    std::size_t read = 0;
    CHECK(std::isfinite(std::stod(value, &read)));
    CHECK(read == value.size());
  }
}

TEST_CASE("a run that does not fit is predicted all the same and ends with 3", "[cli]") {
  const SmallRun small;
  for (const char* command : {"simulate", "memory"}) {
    const Outcome text = small(command, too_large());
    CHECK(text.code == cli::kConditionFailed);
    CHECK(has(text.out, "does not fit"));
    const Outcome json = small(command, with(too_large(), {"--format", "json"}));
    CHECK(json.code == cli::kConditionFailed);
    CHECK(Json::parse(json.out).at("memory")[0].at("fits") == false);
  }
}

TEST_CASE("a measured run is compared with what was measured", "[cli]") {
  const ScratchFolder folder;
  const std::string file = folder.write(
      "run.toml", std::string(kSmallRun) + "[measured]\nstep_time = \"25 ms\"\nsource = \"me\"\n");
  const Json json = Json::parse(command_line({"simulate", file, "--format", "json"}).out);
  REQUIRE(json.at("comparisons").size() == 1);
  const Json& comparison = json.at("comparisons")[0];
  CHECK(comparison.at("measured") == 0.025);
  CHECK(comparison.at("predicted") == json.at("step_time_s"));
  CHECK(comparison.at("source") == "me");
  CHECK(has(command_line({"simulate", file}).out, "measured by me"));
}

}  // namespace foretrain::testing
