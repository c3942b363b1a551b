// Worker processes: results in order, whatever happens to some of them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/workers.hpp"

#include <csignal>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <unistd.h>

#include "tests/support/catch.hpp"

namespace foretrain::testing {

TEST_CASE("results come in the order of the work, however long each takes", "[study]") {
  for (const std::size_t jobs : {1U, 2U, 3U, 16U}) {
    const auto results = run_in_workers(6, jobs, [](std::size_t i) {
      ::usleep(i == 0 ? 20'000 : 0);  // the first ends last
      return "result " + std::to_string(i);
    });
    REQUIRE(results.size() == 6);
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(results[i] == "result " + std::to_string(i));
    }
  }
}

TEST_CASE("no work is no result", "[study]") {
  CHECK(run_in_workers(0, 4, [](std::size_t) { return std::string("never"); }).empty());
}

TEST_CASE("a result may be empty or larger than a pipe", "[study]") {
  const auto results =
      run_in_workers(2, 2, [](std::size_t i) { return std::string(i == 0 ? 0 : 1'000'000, 'x'); });
  CHECK(results[0] == "");
  REQUIRE(results[1]);
  CHECK(results[1]->size() == 1'000'000);
}

TEST_CASE("a worker that dies leaves nothing and harms no other", "[study]") {
  const auto results = run_in_workers(4, 2, [](std::size_t i) -> std::string {
    if (i == 1) {
      ::raise(SIGKILL);
    }
    if (i == 2) {
      ::_exit(3);
    }
    return "fine";
  });
  CHECK(results[0] == "fine");
  CHECK_FALSE(results[1]);
  CHECK_FALSE(results[2]);
  CHECK(results[3] == "fine");
}

TEST_CASE("a worker that throws leaves nothing and does not go on as its parent", "[study]") {
  const auto results = run_in_workers(2, 2, [](std::size_t i) -> std::string {
    if (i == 0) {
      throw std::runtime_error("a bug");
    }
    return "fine";
  });
  CHECK_FALSE(results[0]);
  CHECK(results[1] == "fine");
}

TEST_CASE("progress is told once for each piece that is over", "[study]") {
  std::vector<std::size_t> told;
  const auto results = run_in_workers(
      4, 2, [](std::size_t) { return std::string(); },
      [&told](std::size_t done) { told.push_back(done); });
  CHECK(results.size() == 4);
  CHECK(told == std::vector<std::size_t>{1, 2, 3, 4});
}

TEST_CASE("every piece of work has a process of its own", "[study]") {
  std::set<std::string> processes = {std::to_string(::getpid())};
  for (const auto& result :
       run_in_workers(5, 2, [](std::size_t) { return std::to_string(::getpid()); })) {
    REQUIRE(result);
    CHECK(processes.insert(*result).second);
  }
}

}  // namespace foretrain::testing
