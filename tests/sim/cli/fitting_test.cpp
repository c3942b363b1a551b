// What would make a run fit: every change that is named is tried again here.
// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

std::vector<std::string> tight() {
  return {"--set", "model=llama-2-13b",   "--set", "parallel.tensor=2",
          "--set", "parallel.pipeline=2", "--set", "training.sequence_length=1024"};
}

// The options in "it would fit with --set a=b --set c=d (peak 3.14 GB)".
std::vector<std::string> options_in(const std::string& sentence) {
  std::istringstream words(sentence);
  std::vector<std::string> options;
  std::string word;
  while (words >> word) {
    if (word == "--set") {
      options.push_back(word);
      words >> word;
      options.push_back(word);
    }
  }
  return options;
}

}  // namespace

TEST_CASE("the changes that memory names do make the run fit", "[cli]") {
  const SmallRun small;
  const Outcome outcome = small("memory", with(tight(), {"--format", "json"}));
  CHECK(outcome.code == cli::kConditionFailed);
  const Json changes = Json::parse(outcome.out).at("would_fit");
  REQUIRE(changes.size() >= 1);
  for (const Json& change : changes) {
    const std::vector<std::string> options = options_in(change.get<std::string>());
    INFO(change);
    REQUIRE_FALSE(options.empty());
    CHECK(small("memory", with(tight(), options)).code == cli::kGood);
  }
  CHECK(has(small("memory", tight()).out, "it would fit with --set "));
}

TEST_CASE("a run that fits is told no changes", "[cli]") {
  const Outcome outcome = SmallRun()("memory", {"--format", "json"});
  CHECK(outcome.code == cli::kGood);
  CHECK_FALSE(Json::parse(outcome.out).contains("would_fit"));
}

TEST_CASE("memory of generating is printed where the run has a table for it", "[cli]") {
  const SmallRun small;
  const std::vector<std::string> options = {"--set", "generation.context_length=512", "--set",
                                            "generation.batch=4"};
  const Outcome text = small("memory", options);
  CHECK(text.code == cli::kGood);
  CHECK(has(text.out, "most sequences"));
  const Json json = Json::parse(small("memory", with(options, {"--format", "json"})).out);
  // GPT-2: 2 x 12 layers x 768 x 2 bytes.
  CHECK(json.at("generation").at("kv_bytes_per_token") == 2 * 12 * 768 * 2);
  CHECK(has(small("memory", with(options, {"--format", "csv"})).out, "kv_bytes_per_token"));
}

}  // namespace foretrain::testing
