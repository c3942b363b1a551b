// The program itself, in processes of its own: equal input gives equal bytes.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <sys/wait.h>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

#ifdef FORETRAIN_BINARY

namespace foretrain::testing {
namespace {

/// What the program prints on its standard output, and its exit code.
Outcome run_binary(const std::string& arguments) {
  const std::string command =
      std::string("'") + FORETRAIN_BINARY + "' " + arguments + " 2>/dev/null";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) {
    throw std::runtime_error("cannot start " + command);
  }
  Outcome outcome;
  std::array<char, 4096> buffer{};
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    outcome.out.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

/// Without the line of the one value that differs from run to run.
std::string without_wall_time(const std::string& json) {
  std::string text;
  int dropped = 0;
  for (const std::string& line : split(json, '\n')) {
    const bool is_wall_time = has(line, "\"wall_s\":");
    dropped += is_wall_time ? 1 : 0;
    text += is_wall_time ? "" : line + "\n";
  }
  CHECK(dropped == 1);
  return text;
}

}  // namespace

TEST_CASE("two processes print the same JSON but for the wall time", "[cli]") {
  const SmallRun small;
  const std::string arguments = "simulate '" + small.file() + "' --format json";
  const Outcome once = run_binary(arguments);
  const Outcome again = run_binary(arguments);
  CHECK(once.code == cli::kGood);
  CHECK_FALSE(once.out.empty());
  CHECK(without_wall_time(once.out) == without_wall_time(again.out));
}

TEST_CASE("the program ends with the exit codes that it promises", "[cli]") {
  const SmallRun small;
  const std::string file = " '" + small.file() + "'";
  CHECK(run_binary("check" + file).code == 0);
  CHECK(run_binary("simulat" + file).code == 2);
  CHECK(run_binary("simulate nowhere.toml").code == 2);
  CHECK(run_binary("memory" + file +
                   " --set model=gpt3-175b --set parallel.tensor=8 --set parallel.pipeline=1")
            .code == 3);
  CHECK(run_binary("list > /dev/full").code == 1);  // what was asked for could not be written
}

}  // namespace foretrain::testing

#endif
