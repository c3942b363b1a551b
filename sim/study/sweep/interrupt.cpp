// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/interrupt.hpp"

#include <cerrno>
#include <sys/signalfd.h>
#include <system_error>
#include <unistd.h>

namespace foretrain::sweep {

Interrupt::Interrupt() {
  sigset_t ending{};
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGINT);
  ::sigaddset(&ending, SIGTERM);
  file_ = ::signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC);
  if (file_ < 0) {
    throw std::system_error(errno, std::generic_category(), "signalfd");
  }
  ::sigprocmask(SIG_BLOCK, &ending, &before_);
}

Interrupt::~Interrupt() {
  (void)signal();
  ::close(file_);
  ::sigprocmask(SIG_SETMASK, &before_, nullptr);
}

int Interrupt::signal() {
  signalfd_siginfo info{};
  while (::read(file_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (signal_ == 0) {
      signal_ = static_cast<int>(info.ssi_signo);
    }
  }
  return signal_;
}

}  // namespace foretrain::sweep
