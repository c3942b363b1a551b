// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/child.hpp"

#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace foretrain::bench {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

[[noreturn]] void be_child(int out, const std::function<double()>& work) {
  try {
    const double answer = work();
    const bool is_told = write(out, &answer, sizeof answer) == sizeof answer;
    _exit(is_told ? 0 : 1);
  } catch (...) {
    _exit(1);
  }
}

Cost cost_once(const std::function<double()>& work) {
  int ends[2] = {};
  if (pipe(ends) != 0) {
    throw std::runtime_error("no pipe to a child");
  }
  const pid_t child = fork();
  if (child < 0) {
    throw std::runtime_error("no child");
  }
  if (child == 0) {
    be_child(ends[1], work);
  }
  close(ends[1]);
  Cost cost;
  const bool is_told = read(ends[0], &cost.answer, sizeof cost.answer) == sizeof cost.answer;
  close(ends[0]);
  int status = 0;
  rusage usage{};
  const bool is_over = wait4(child, &status, 0, &usage) == child;
  if (!is_told || !is_over || status != 0) {
    throw std::runtime_error("a benchmark's child failed");
  }
  cost.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  cost.peak_mib = static_cast<double>(usage.ru_maxrss) / 1024;
  return cost;
}

}  // namespace

Cost cost_of(const std::function<double()>& work, int times) {
  Cost best = cost_once(work);
  for (int i = 1; i < times; ++i) {
    const Cost again = cost_once(work);
    if (again.cpu_seconds < best.cpu_seconds) {
      best = again;
    }
  }
  return best;
}

}  // namespace foretrain::bench
