// Runs programs: the trainer by its launcher, so that nothing is left behind when we are stopped.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain::live {

/// A program that could not be started, failed, or took too long; what() has its last words.
class ProcessError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ProcessResult {
  int code = 0;  ///< its exit code, or 128 + the signal that ended it
  std::string out;
  std::string errors;
};

/// Runs a program to its end. It gets SIGTERM when this process dies, or after `limit`, and SIGKILL
/// if it is still there five seconds later. Throws ProcessError when it cannot be started or took
/// too long. REQUIRES: arguments is not empty; the first names the program.
[[nodiscard]] ProcessResult run_process(const std::vector<std::string>& arguments, Seconds limit);

/// The same, and throws ProcessError unless the exit code is 0; `what` begins the message.
std::string run_checked(const std::string& what, const std::vector<std::string>& arguments,
                        Seconds limit);

}  // namespace foretrain::live
