// SPDX-License-Identifier: Apache-2.0
// Programs are run, heard, and stopped; ranks are started by the launcher.
#include "validation/live/process.hpp"

#include <chrono>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/text.hpp"
#include "validation/live/launch.hpp"

namespace foretrain::live {
namespace {

using testing::has;

const std::string kLauncher = std::string(FORETRAIN_SOURCE_DIR) + "/validation/trainer/launch.sh";
constexpr Seconds kLimit{60};

std::vector<std::string> launched(std::vector<std::string> options, const std::string& script) {
  options.insert(options.begin(), kLauncher);
  options.insert(options.end(), {"--", "bash", "-c", script});
  return options;
}

}  // namespace

TEST_CASE("a program's output, last words and exit code come back", "[live]") {
  const ProcessResult result =
      run_process({"bash", "-c", "echo data; echo talk >&2; exit 3"}, kLimit);
  CHECK(result.code == 3);
  CHECK(result.out == "data\n");
  CHECK(result.errors == "talk\n");
  CHECK(run_process({"bash", "-c", "kill -KILL $$"}, kLimit).code == 128 + 9);
}

TEST_CASE("more output than a pipe holds does not block", "[live]") {
  const std::string script = "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero";
  const ProcessResult result = run_process({"bash", "-c", script}, kLimit);
  CHECK(result.out.size() == 300000);
  CHECK(result.errors.size() == 300000);
}

TEST_CASE("a program that is not there, or fails, is an error with its words", "[live]") {
  CHECK_THROWS_WITH(run_process({"/no/such/program"}, kLimit),
                    Catch::Contains("cannot be started"));
  CHECK_THROWS_WITH(run_checked("training", {"bash", "-c", "echo no memory >&2; exit 1"}, kLimit),
                    Catch::Contains("training: exit code 1") && Catch::Contains("no memory"));
}

TEST_CASE("a program that takes too long is stopped", "[live]") {
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH(run_process({"sleep", "100"}, Seconds(0.2)),
                    Catch::Contains("longer than 0.2 s"));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("the launcher tells each rank who it is", "[live]") {
  const testing::ScratchFolder folder;
  const std::string script =
      "echo $FORETRAIN_RANK of $FORETRAIN_WORLD_SIZE >$FORETRAIN_RENDEZVOUS/" +
      std::string(
          "{rank}; while [[ ! -f $FORETRAIN_RENDEZVOUS/2 ]]; do sleep "
          "0.01; done; cat $FORETRAIN_RENDEZVOUS/{rank}");
  const ProcessResult result = run_process(launched({"--ranks", "3"}, script), kLimit);
  CHECK(result.code == 0);
  CHECK(result.out == "0 of 3\n");  // rank 0 alone has stdout
}

TEST_CASE("ranks that are alone are each rank 0 of a world of their own", "[live]") {
  const testing::ScratchFolder folder;
  const std::string script = "echo $FORETRAIN_RANK $FORETRAIN_WORLD_SIZE >" + folder.path() +
                             "/{rank}; ls $FORETRAIN_RENDEZVOUS";
  REQUIRE(run_process(launched({"--ranks", "2", "--alone"}, script), kLimit).code == 0);
  for (const char* rank : {"0", "1"}) {
    CHECK(config::read_file(folder.path() + "/" + rank) == "0 1\n");
  }
}

TEST_CASE("when a rank fails the others are stopped, and its words and code come back", "[live]") {
  const std::string script =
      "if ((FORETRAIN_RANK == 1)); then echo out of memory >&2; exit 7; fi; sleep 100";
  const ProcessResult result = run_process(launched({"--ranks", "2"}, script), Seconds(50));
  CHECK(result.code == 7);
  CHECK(has(result.errors, "out of memory"));
  CHECK(has(result.errors, "rank 1 ended with exit code 7"));
}

TEST_CASE("the launcher refuses what it cannot do", "[live]") {
  for (const std::vector<std::string>& options : {std::vector<std::string>{"--ranks", "0"},
                                                  {"--ranks", "2", "--rate", "fast"},
                                                  {"--ranks", "2", "--busy", "0"},
                                                  {"--ranks", "2", "--pin", "--busy", "2"},
                                                  {"--what"}}) {
    CHECK(run_process(launched(options, "true"), kLimit).code == 2);
  }
}

TEST_CASE("shaped links join namespaces, or the launcher says that it cannot", "[live]") {
  const std::string script = "printenv FORETRAIN_FABRIC FORETRAIN_INTERFACE";
  const ProcessResult result =
      run_process(launched({"--ranks", "2", "--rate", "400Mbit"}, script), kLimit);
  CHECK(result.code == 0);
  if (result.errors.empty()) {
    CHECK(result.out == "veth pairs and a bridge, tc tbf 400 Mbit/s\nfabric0\n");
  } else {
    CHECK(result.out == "loopback\nlo\n");
    CHECK(has(result.errors, "the ranks talk over loopback"));
  }
}

TEST_CASE("a trainer that was not built is asked for, with how to build it", "[live]") {
  CHECK_THROWS_WITH(check_tools({kLauncher, "/no/such/foretrain_trainer"}),
                    Catch::Contains("/no/such/foretrain_trainer: the trainer is not there") &&
                        Catch::Contains("-DFORETRAIN_TRAINER=ON"));
  CHECK_NOTHROW(check_tools({kLauncher, "/bin/sh"}));
}

}  // namespace foretrain::live
