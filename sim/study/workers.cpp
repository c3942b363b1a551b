// SPDX-License-Identifier: Apache-2.0
#include "sim/study/workers.hpp"

#include <array>
#include <cerrno>
#include <poll.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

namespace foretrain {
namespace {

struct Worker {
  std::size_t index = 0;
  pid_t process = -1;
  int pipe = -1;  // the end that this process reads
  std::string text;
};

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

Worker start(std::size_t index, const std::function<std::string(std::size_t)>& work) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) {
    throw std::system_error(errno, std::generic_category(), "pipe");
  }
  const pid_t process = ::fork();
  if (process < 0) {
    throw std::system_error(errno, std::generic_category(), "fork");
  }
  if (process == 0) {
    ::close(ends[0]);
    try {
      write_all(ends[1], work(index));
    } catch (...) {
      ::_exit(1);  // must not go on as if it were the parent
    }
    ::_exit(0);  // neither flushes nor destroys what belongs to the parent
  }
  ::close(ends[1]);
  return {index, process, ends[0], {}};
}

// Reads what is there; false at the end.
bool read_some(Worker& worker) {
  std::array<char, 65536> buffer{};
  const ssize_t n = ::read(worker.pipe, buffer.data(), buffer.size());
  if (n > 0) {
    worker.text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return n > 0 || (n < 0 && errno == EINTR);
}

std::optional<std::string> finish(Worker& worker) {
  ::close(worker.pipe);
  int status = 0;
  ::waitpid(worker.process, &status, 0);
  const bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return is_good ? std::optional(std::move(worker.text)) : std::nullopt;
}

}  // namespace

std::vector<std::optional<std::string>> run_in_workers(
    std::size_t count, std::size_t jobs, const std::function<std::string(std::size_t)>& work,
    const WorkersProgress& progress) {
  std::vector<std::optional<std::string>> results(count);
  std::vector<Worker> running;
  std::size_t next = 0;
  while (next < count || !running.empty()) {
    while (next < count && running.size() < jobs) {
      running.push_back(start(next++, work));
    }
    std::vector<pollfd> waiting;
    waiting.reserve(running.size());
    for (const Worker& worker : running) {
      waiting.push_back({worker.pipe, POLLIN, 0});
    }
    ::poll(waiting.data(), waiting.size(), -1);
    for (std::size_t i = waiting.size(); i-- > 0;) {
      if (waiting[i].revents != 0 && !read_some(running[i])) {
        results[running[i].index] = finish(running[i]);
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
        if (progress) {
          progress(next - running.size());
        }
      }
    }
  }
  return results;
}

}  // namespace foretrain
