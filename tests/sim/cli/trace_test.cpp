// The timeline that simulate writes for ui.perfetto.dev.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

std::vector<Json> trace_events(const SmallRun& small, std::vector<std::string> options = {}) {
  const std::string path = small.folder().path() + "/trace.json";
  options.insert(options.end(), {"--trace", path});
  REQUIRE(small("simulate", options).code == cli::kGood);
  std::ifstream file(path);
  return Json::parse(file).at("traceEvents").get<std::vector<Json>>();
}

std::vector<Json> of_kind(const std::vector<Json>& events, const std::string& kind) {
  std::vector<Json> chosen;
  std::copy_if(events.begin(), events.end(), std::back_inserter(chosen),
               [&](const Json& event) { return event.at("ph") == kind; });
  return chosen;
}

}  // namespace

TEST_CASE("slices of one thread of a trace never overlap", "[cli]") {
  const SmallRun small;
  using Thread = std::pair<int, int>;
  std::map<Thread, std::vector<std::pair<double, double>>> threads;
  const auto events =
      trace_events(small, {"--set", "training.recompute=selective", "--set",
                           "stack=megatron-lm-2022", "--trace-all", "--fidelity", "full"});
  for (const Json& slice : of_kind(events, "X")) {
    const double start = slice.at("ts");
    CHECK(slice.at("dur") > 0);
    threads[{slice.at("pid"), slice.at("tid")}].emplace_back(start, slice.at("dur"));
  }
  CHECK(threads.size() >= 8);
  for (auto& [thread, slices] : threads) {
    std::sort(slices.begin(), slices.end());
    for (std::size_t i = 1; i < slices.size(); ++i) {
      const double end = slices[i - 1].first + slices[i - 1].second;
      CHECK(slices[i].first > end - 2e-6);  // times are rounded to a picosecond, 1e-6 us
    }
  }
}

TEST_CASE("a process of a trace is a stage, a thread is a stream of a rank", "[cli]") {
  const SmallRun small;
  std::set<std::string> processes;
  std::set<std::string> threads;
  for (const Json& event : of_kind(trace_events(small), "M")) {
    const std::string name = event.at("args").at("name");
    (event.at("name") == "process_name" ? processes : threads).insert(name);
  }
  CHECK(processes == std::set<std::string>{"stage 0", "stage 1"});
  CHECK(threads.contains("rank 0 compute"));
  CHECK(threads.contains("rank 4 compute"));  // the first rank of stage 1
  CHECK_FALSE(threads.contains("rank 1 compute"));
}

TEST_CASE("collectives and messages of a trace say their bytes and their partners", "[cli]") {
  const SmallRun small;
  bool has_collective = false;
  bool has_message = false;
  for (const Json& slice : of_kind(trace_events(small), "X")) {
    const Json& arguments = slice.at("args");
    if (arguments.contains("group")) {
      has_collective = true;
      CHECK(arguments.at("group").size() >= 2);
      CHECK(arguments.at("bytes") > 0);
      CHECK(arguments.contains("axis"));
    }
    if (arguments.contains("peer")) {
      has_message = true;
      // 128 tokens x 768 x 2 bytes.
      CHECK(arguments.at("bytes") == 128 * 768 * 2);
    }
  }
  CHECK(has_collective);
  CHECK(has_message);
}

TEST_CASE("a trace counts memory over the step", "[cli]") {
  const SmallRun small;
  const auto counters = of_kind(trace_events(small), "C");
  REQUIRE_FALSE(counters.empty());
  for (const Json& counter : counters) {
    CHECK(counter.at("args").at("GB") > 3);  // the CUDA context alone is 3 GiB
  }
}

TEST_CASE("a trace that cannot be written ends with 2", "[cli]") {
  const SmallRun small;
  const std::string path = small.folder().path() + "/no/such/folder/trace.json";
  const Outcome outcome = small("simulate", {"--trace", path});
  CHECK(outcome.code == cli::kBadInput);
  CHECK(has(outcome.talk, "error: " + path + ": --trace: cannot be written\n"));
}

}  // namespace foretrain::testing
