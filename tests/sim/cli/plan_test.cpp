// The command plan.
// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/text.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

const std::vector<std::string> kSmallPlan = {
    "plan", "--model",        "gpt2", "--platform", "dgx-a100-40gb", "--sequence",
    "128",  "--global-batch", "64",   "--tokens",   "1 G",           "--max-gpus",
    "32",   "--jobs",         "2"};

TEST_CASE("a plan's sizes are what simulate says of their keys", "[cli]") {
  const Outcome outcome = command_line(with(kSmallPlan, {"--format", "json"}));
  CHECK(outcome.code == cli::kGood);
  const Json json = Json::parse(outcome.out);
  REQUIRE_FALSE(json.at("sizes").empty());
  const ScratchFolder folder;
  const std::string file = folder.write(
      "run.toml",
      "model = \"gpt2\"\nplatform = \"dgx-a100-40gb\"\nstack = \"generic\"\n[training]\n"
      "sequence_length = 128\nglobal_batch = 64\n");
  const Json& size = json.at("sizes").back();
  std::vector<std::string> arguments = {"simulate", file,
                                        "--format", "json",
                                        "--set",    "stack=" + json.at("stack").get<std::string>()};
  for (const Json& set : size.at("set")) {
    arguments.emplace_back("--set");
    arguments.push_back(set.get<std::string>());
  }
  const Json alone = Json::parse(command_line(arguments).out);
  CHECK(alone.at("step_time_s") == size.at("step_time_s"));
  // 1 G tokens in steps of 64 x 128.
  CHECK(size.at("time_s").get<double>() ==
        Approx(size.at("step_time_s").get<double>() * 1e9 / (64 * 128)));
}

TEST_CASE("a plan is the same whatever the number of worker processes", "[cli]") {
  const std::string two = command_line(kSmallPlan).out;
  CHECK_FALSE(two.empty());
  std::vector<std::string> alone = kSmallPlan;
  alone.back() = "1";
  CHECK(command_line(alone).out == two);
}

TEST_CASE("a plan without tokens takes the Chinchilla-optimal number and says so", "[cli]") {
  const Outcome outcome =
      command_line({"plan", "--model", "gpt2", "--platform", "dgx-a100-40gb", "--sequence", "128",
                    "--global-batch", "64", "--gpus", "8"});
  CHECK(has(outcome.out, "none given: 20 per parameter are Chinchilla-optimal"));
}

TEST_CASE("a plan's sequences are as long as the model's positions go, and at most 4,096",
          "[cli]") {
  const auto first_line = [](const char* model) {
    const std::string out =
        command_line({"plan", "--model", model, "--platform", "dgx-a100-40gb", "--global-batch",
                      "64", "--tokens", "1 G", "--gpus", "64", "--max-gpus", "1"})
            .out;
    return out.substr(0, out.find('\n', out.find('\n') + 1));
  };
  CHECK(has(first_line("gpt2"), "1024 tokens a sequence"));
  CHECK(has(first_line("llama-2-7b"), "4096 tokens a sequence"));
}

TEST_CASE("a run file gives a plan its details, but not its size and layout", "[cli]") {
  const SmallRun small;
  const Outcome outcome = small("plan", {"--gpus", "8,16", "--jobs", "1", "--format", "json"});
  CHECK(outcome.code == cli::kGood);
  const Json json = Json::parse(outcome.out);
  CHECK(json.at("tokens") == 1e9);  // the file's
  REQUIRE(json.at("sizes").size() == 2);
  CHECK(json.at("sizes")[0].at("gpus") == 8);
  CHECK(json.at("sizes")[1].at("gpus") == 16);
}

TEST_CASE("a plan takes batches that one GPU could not", "[cli]") {
  const Outcome outcome =
      command_line({"plan", "--model", "gpt2", "--platform", "dgx-a100-40gb", "--sequence", "128",
                    "--global-batch", "131072", "--tokens", "1 G", "--gpus", "32"});
  CHECK(outcome.code == cli::kGood);
  CHECK(has(outcome.out, "131072 sequences a step"));
  CHECK(has(outcome.out, "failures     at the rates of llama-3-h100"));
}

TEST_CASE("a plan that cannot be met ends with 3", "[cli]") {
  CHECK(command_line(with(kSmallPlan, {"--deadline", "1 s"})).code == cli::kConditionFailed);
}

TEST_CASE("a plan says what is missing or cannot be read", "[cli]") {
  const auto talk = [](const std::vector<std::string>& more) {
    const Outcome outcome = command_line(with({"plan"}, more));
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    return outcome.talk;
  };
  const std::vector<std::string> names = {"--model", "gpt2",       "--platform",
                                          "dgx-1v",  "--sequence", "1024"};
  CHECK(has(talk({}), "expected a run file, or --model and --platform"));
  CHECK(has(talk({"--model", "gpt2", "--platform", "dgx-h10"}), "did you mean 'dgx-h100'?"));
  CHECK(has(talk(with(names, {"--tokens", "many"})), "expected a count such as"));
  CHECK(has(talk(with(names, {"--budget", "2M"})), "expected a sum such as"));
  CHECK(has(talk(with(names, {"--budget", "$2M"})), "a budget needs --price"));
  CHECK(has(talk(with(names, {"--price", "2.5"})), "expected a price such as"));
  CHECK(has(talk(with(names, {"--deadline", "soon"})), "expected a time such as"));
  CHECK(has(talk(with(names, {"--what-if", "nvlnk=2x"})), "did you mean 'nvlink'?"));
}

}  // namespace
}  // namespace foretrain::testing
