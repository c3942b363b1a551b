// Notices that somebody wants the program to end, so that it can end in good order.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>

namespace foretrain::sweep {

/// While it lives, SIGINT and SIGTERM do not end this process; they are kept here. Processes
/// started meanwhile do not hear of them either.
class Interrupt {
 public:
  /// Throws std::system_error when the kernel has no descriptor left.
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /// Can be read, with poll, once a signal has come.
  [[nodiscard]] int file() const { return file_; }
  /// The signal that came first; 0 while none has.
  [[nodiscard]] int signal();

 private:
  sigset_t before_{};
  int file_ = -1;
  int signal_ = 0;
};

}  // namespace foretrain::sweep
