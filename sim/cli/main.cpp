// The program: hands its arguments and streams to the command line, and exits with its code.
// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <unistd.h>

#include "sim/cli/cli.hpp"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  foretrain::cli::Console console{std::cout, std::cerr, ::isatty(STDERR_FILENO) == 1};
  const int code = foretrain::cli::run({argv + 1, argv + argc}, console);
  std::cout.flush();
  return std::cout.good() ? code : foretrain::cli::kOurFault;
}
