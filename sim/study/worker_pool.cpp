// SPDX-License-Identifier: Apache-2.0
#include "sim/study/worker_pool.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include "sim/core/error.hpp"

namespace foretrain {

struct WorkerPool::Worker {
  std::size_t index = 0;
  pid_t process = -1;
  int pipe = -1;  // the end that this process reads
  std::string text;
  std::chrono::steady_clock::time_point started;
};

namespace {

void write_all(int file, const std::string& text) {
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = ::write(file, text.data() + written, text.size() - written);
    if (n <= 0) {
      ::_exit(1);
    }
    written += static_cast<std::size_t>(n);
  }
}

// Nobody would hear what it finds once its parent is gone.
void die_with(pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {
    ::_exit(1);
  }
}

[[noreturn]] void be_worker(pid_t parent, int file, const std::function<std::string()>& work) {
  die_with(parent);
  try {
    write_all(file, work());
  } catch (...) {
    ::_exit(1);  // must not go on as if it were the parent
  }
  ::_exit(0);  // neither flushes nor destroys what belongs to the parent
}

// Adds what is there to `text`; false at the end.
bool read_some(int file, std::string& text) {
  std::array<char, 65536> buffer{};
  const ssize_t n = ::read(file, buffer.data(), buffer.size());
  if (n > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return n > 0 || (n < 0 && errno == EINTR);
}

int status_of(pid_t process) {
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

WorkerPool::WorkerPool(std::size_t jobs) : jobs_(jobs) {
  FORETRAIN_ASSERT(jobs >= 1, "work needs a worker");
}

WorkerPool::~WorkerPool() {
  for (const Worker& worker : running_) {
    ::kill(worker.process, SIGKILL);
  }
  for (const Worker& worker : running_) {
    ::close(worker.pipe);
    (void)status_of(worker.process);
  }
}

bool WorkerPool::has_room() const { return running_.size() < jobs_; }
bool WorkerPool::is_idle() const { return running_.empty(); }
std::size_t WorkerPool::num_running() const { return running_.size(); }

void WorkerPool::start(std::size_t index, const std::function<std::string()>& work) {
  FORETRAIN_ASSERT(has_room(), "no worker is free");
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  const pid_t self = ::getpid();
  const pid_t process = ::fork();
  if (process < 0) {
    const int error = errno;
    ::close(ends[0]);
    ::close(ends[1]);
    throw std::system_error(error, std::generic_category(), "fork");
  }
  if (process == 0) {
    ::close(ends[0]);
    be_worker(self, ends[1], work);
  }
  ::close(ends[1]);
  running_.push_back({index, process, ends[0], {}, std::chrono::steady_clock::now()});
}

std::vector<Finished> WorkerPool::take(Wait wait, int wake) {
  std::vector<pollfd> waiting;
  waiting.reserve(running_.size() + 1);
  for (const Worker& worker : running_) {
    waiting.push_back({worker.pipe, POLLIN, 0});
  }
  waiting.push_back({wake, POLLIN, 0});  // poll passes over a negative one
  std::vector<Finished> finished;
  if (::poll(waiting.data(), waiting.size(), wait == Wait::not_at_all ? 0 : -1) < 0) {
    return finished;  // a signal was handled
  }
  for (std::size_t i = running_.size(); i-- > 0;) {
    Worker& worker = running_[i];
    if (waiting[i].revents == 0 || read_some(worker.pipe, worker.text)) {
      continue;
    }
    ::close(worker.pipe);
    const int status = status_of(worker.process);
    Finished& result = finished.emplace_back();
    result.index = worker.index;
    result.wall = Seconds(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - worker.started).count());
    if (WIFSIGNALED(status)) {
      result.failure = "was killed by signal " + std::to_string(WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0) {
      result.failure = "ended with status " + std::to_string(WEXITSTATUS(status));
    } else {
      result.text = std::move(worker.text);
    }
    running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return finished;
}

}  // namespace foretrain
