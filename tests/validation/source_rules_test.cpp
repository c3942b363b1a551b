// SPDX-License-Identifier: Apache-2.0
// Rules for sources: read from their file, in order, and wrong ones refused at their place.
#include "validation/source_rules.hpp"

#include <algorithm>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::validation {
namespace {

SourceRules read(const std::string& text) {
  const testing::ScratchFolder folder;
  config::Sources sources;
  return load_source_rules(sources, folder.write("rules.toml", text));
}

std::string mistake_in(const std::string& text) {
  try {
    (void)read(text);
  } catch (const ConfigError& error) {
    return error.diagnostics().front().message;
  }
  return "";
}

TEST_CASE("a rule's settings are flattened to keys of a run file", "[source_rules]") {
  const SourceRules rules = read(R"(
[[rule]]
when = { source = "a" }
unless = { gpu = "b" }
set = { stack = "generic", training = { recompute = "full" }, "parallel.zero" = 1 }
group = "g"
sweep = ["model", "num_gpus"]
note = "inferred"
peak_tflops = 312
)");
  REQUIRE(rules.rules.size() == 1);
  const SourceRule& rule = rules.rules[0];
  REQUIRE(rule.set.size() == 3);
  CHECK(rule.set[0].first == "stack");
  CHECK(rule.set[1].first == "training.recompute");
  CHECK(rule.set[2].first == "parallel.zero");
  CHECK(std::get<std::int64_t>(rule.set[2].second.data) == 1);
  CHECK(rule.when.size() == 1);
  CHECK(rule.unless.size() == 1);
  CHECK(rule.group == "g");
  CHECK(rule.sweep == std::vector<std::string>{"model", "num_gpus"});
  CHECK(rule.peak_tflops == 312.0);
}

TEST_CASE("what was fitted on a source is in the file that is named", "[source_rules]") {
  config::Sources sources;
  const std::string root = FORETRAIN_SOURCE_DIR;
  const SourceRules rules = load_source_rules(sources, root + "/validation/sources.toml");
  CHECK_FALSE(rules.fitted.empty());
  for (const auto& [group, numbers] : rules.fitted) {
    const std::string& source = group;  // clang 14 takes no binding into a lambda
    for (const std::string& number : numbers) {
      INFO(source << ": " << number);
      const std::size_t colon = number.find(": ");
      REQUIRE(colon != std::string::npos);
      const std::string text = config::read_file(root + "/" + number.substr(0, colon));
      CHECK(text.find("\n" + number.substr(colon + 2) + " = ") != std::string::npos);
    }
    CHECK(std::any_of(rules.rules.begin(), rules.rules.end(),
                      [&](const SourceRule& rule) { return rule.group == source; }));
  }
}

TEST_CASE("a wrong rule is refused", "[source_rules]") {
  CHECK(mistake_in("[[rule]]\nwhem = {}\n").find("unknown key") == 0);
  CHECK(mistake_in("[[rule]]\nwhen = { a = 1 }\n") == "expected text in quotes");
  CHECK(mistake_in("[[rule]]\nwhen = \"a\"\n") == "expected a table of columns");
  CHECK(mistake_in("[[rule]]\nsweep = \"a\"\n") == "expected an array of names");
  CHECK(mistake_in("[[rule]]\npeak_tflops = \"a\"\n") == "expected a number");
  CHECK(mistake_in("x = 1\n") == "expected [[rule]] tables and one table [fitted]");
}

}  // namespace
}  // namespace foretrain::validation
