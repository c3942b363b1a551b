// Keeps Gloo from waiting for itself on a core that compute and communication share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

namespace foretrain::trainer {

/// While it lives, no thread of the usual class preempts its thread; threads that it starts are
/// alike. Gloo's event thread, woken by a message, only tries the lock of a connection: where it
/// preempts the very thread that holds the lock, it asks again and again until the scheduler's
/// tick, 4 ms later. Threads of one urgent class do not preempt one another, and all go before
/// compute, so every call of Gloo is made urgently (all-reduce of 1 KiB, ranks pinned to a core
/// each: 4.0 ms before, 0.08 ms so). It needs root; without, nothing changes.
class Urgent {
 public:
  Urgent() {
    sched_param urgent{};
    urgent.sched_priority = 1;
    is_set_ =
        sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_FIFO, &urgent) == 0;
  }
  ~Urgent() {
    if (is_set_) {
      const sched_param usual{};
      (void)sched_setscheduler(0, SCHED_OTHER, &usual);
    }
  }
  Urgent(const Urgent&) = delete;
  Urgent& operator=(const Urgent&) = delete;

 private:
  bool is_set_ = false;
};

}  // namespace foretrain::trainer
