// foretrain validate --live: its options, and what runs it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sim/cli/cli.hpp"

namespace foretrain::cli {

struct LiveCommand {
  bool is_asked_for = false;
  bool is_short = false;
  std::string trainer;  ///< empty: beside this program
  std::string keep;     ///< a folder for all files; empty: none are kept
  std::vector<std::string> rates;
};
void add_live_options(CLI::App& app, LiveCommand& options);

/// `tolerance` is in %; 0: none.
int live_command(const LiveCommand& options, const std::string& format, double tolerance,
                 Console& console);

}  // namespace foretrain::cli
