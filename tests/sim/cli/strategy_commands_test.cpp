// The commands explain and compress.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {

TEST_CASE("explain shows formulas, numbers and sources, in three formats", "[cli]") {
  const SmallRun small;
  const Outcome text = small("explain");
  CHECK(text.code == cli::kGood);
  for (const char* part : {"6 P D", "Kaplan et al. 2020", "Memory of a GPU", "Pipeline bubble"}) {
    CHECK(has(text.out, part));
  }
  const Json json = Json::parse(small("explain", {"--format", "json"}).out);
  CHECK(json.at("chapters").size() >= 5);
  const Outcome csv = small("explain", {"--format", "csv"});
  CHECK(has(csv.out, "chapter,quantity,formula,numbers,value,unit,time_s,counted,source\n"));
}

TEST_CASE("compress prints a row for each rate and method, plain sending first", "[cli]") {
  const SmallRun small;
  const std::vector<std::string> study = {"--set",          "nodes=2",
                                          "--set",          "parallel.pipeline=1",
                                          "--set",          "training.global_batch=16",
                                          "--methods",      "block-int8",
                                          "--bandwidths",   "5GB/s,25GB/s",
                                          "--jobs",         "1",
                                          "--no-break-even"};
  const Outcome csv = small("compress", with(study, {"--format", "csv"}));
  CHECK(csv.code == cli::kGood);
  const auto lines = split(csv.out, '\n');
  REQUIRE(lines.size() == 5);
  for (const std::string& line : lines) {
    CHECK(std::count(line.begin(), line.end(), ',') ==
          std::count(lines[0].begin(), lines[0].end(), ','));
  }
  CHECK(has(lines[1], "none"));
  CHECK(has(lines[2], "block-int8"));
  CHECK_NOTHROW(Json::parse(small("compress", with(study, {"--format", "json"})).out));
}

TEST_CASE("compress refuses methods and rates that there are not", "[cli]") {
  const SmallRun small;
  const Outcome method = small("compress", {"--methods", "block-int9"});
  CHECK(method.code == cli::kBadInput);
  CHECK(method.out.empty());
  CHECK(has(method.talk, "block-int8"));
  const Outcome rate = small("compress", {"--bandwidths", "25 apples"});
  CHECK(rate.code == cli::kBadInput);
  CHECK(rate.out.empty());
}

}  // namespace foretrain::testing
