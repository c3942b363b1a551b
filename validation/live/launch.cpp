// SPDX-License-Identifier: Apache-2.0
#include "validation/live/launch.hpp"

#include <unistd.h>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "validation/live/process.hpp"

namespace foretrain::live {
namespace {

constexpr Seconds kProbeLimit{30};

void check_program(const std::string& path, const std::string& what) {
  if (::access(path.c_str(), X_OK) != 0) {
    throw ConfigError({Diagnostic{path, 0, 0, "", what, ""}});
  }
}

}  // namespace

std::vector<std::string> command_of(const Tools& tools, const Launch& launch) {
  std::vector<std::string> command = {tools.launcher, "--ranks", "2", "--pin"};
  if (launch.rate != kLoopback) {
    command.insert(command.end(), {"--rate", tc_rate(launch.rate)});
  }
  if (launch.straggler == Straggler::half) {
    command.insert(command.end(), {"--busy", "1"});
  }
  if (launch.is_alone) {
    command.emplace_back("--alone");
  }
  command.insert(command.end(), {"--", tools.trainer});
  command.insert(command.end(), launch.arguments.begin(), launch.arguments.end());
  return command;
}

bool can_shape_links(const Tools& tools) {
  const std::string fabric = run_checked(
      "launch.sh",
      {tools.launcher, "--ranks", "1", "--rate", "100Mbit", "--", "printenv", "FORETRAIN_FABRIC"},
      kProbeLimit);
  return !fabric.starts_with("loopback");
}

void check_tools(const Tools& tools) {
  check_program(tools.trainer,
                "the trainer is not there; build it: cmake --preset release "
                "-DFORETRAIN_TRAINER=ON && cmake --build build/release --target foretrain_trainer "
                "(./dev live does all of it), or name it with --trainer");
  check_program(tools.launcher, "the trainer's launcher is not there");
}

}  // namespace foretrain::live
