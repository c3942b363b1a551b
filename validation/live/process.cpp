// SPDX-License-Identifier: Apache-2.0
#include "validation/live/process.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

namespace foretrain::live {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace(5);  // between SIGTERM and SIGKILL
constexpr int kNotStarted = 127;           // as shells say it

struct Pipe {
  std::array<int, 2> ends{-1, -1};  // to read, to write

  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw ProcessError(fmt::format("no pipe: {}", std::strerror(errno)));
    }
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  void close_end(std::size_t which) {
    if (const int end = std::exchange(ends.at(which), -1); end >= 0) {
      ::close(end);
    }
  }
};

// In the child. Only calls that are safe between fork and exec.
[[noreturn]] void become(const std::vector<char*>& arguments, const Pipe& out, const Pipe& errors,
                         pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) {  // it died before we asked
    ::_exit(kNotStarted);
  }
  ::dup2(out.ends[1], STDOUT_FILENO);
  ::dup2(errors.ends[1], STDERR_FILENO);
  ::execvp(arguments.front(), arguments.data());
  ::_exit(kNotStarted);
}

// Appends what is there; closes the end when there will be no more.
void read_some(Pipe& pipe, std::string& text) {
  std::array<char, 65536> buffer{};
  const ssize_t n = ::read(pipe.ends[0], buffer.data(), buffer.size());
  if (n > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(n));
  } else if (n == 0 || errno != EINTR) {
    pipe.close_end(0);
  }
}

int milliseconds_until(Clock::time_point then) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(then - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(0, left.count()) + 1);
}

class Child {
 public:
  explicit Child(std::vector<std::string> arguments) {
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) {
      pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    const pid_t parent = ::getpid();
    process_ = ::fork();
    if (process_ < 0) {
      throw ProcessError(fmt::format("no process: {}", std::strerror(errno)));
    }
    if (process_ == 0) {
      become(pointers, out_, errors_, parent);
    }
    out_.close_end(1);
    errors_.close_end(1);
  }

  /// Reads to the end of both streams. False when the child had to be stopped.
  bool listen(ProcessResult& result, Seconds limit) {
    auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                       std::chrono::duration<double>(limit.value));
    int signal = SIGTERM;
    while (out_.ends[0] >= 0 || errors_.ends[0] >= 0) {
      std::array<pollfd, 2> waiting = {{{out_.ends[0], POLLIN, 0}, {errors_.ends[0], POLLIN, 0}}};
      ::poll(waiting.data(), waiting.size(), milliseconds_until(deadline));
      if (waiting[0].revents != 0) {
        read_some(out_, result.out);
      }
      if (waiting[1].revents != 0) {
        read_some(errors_, result.errors);
      }
      if (Clock::now() >= deadline) {
        ::kill(process_, std::exchange(signal, SIGKILL));
        deadline = Clock::now() + kGrace;
      }
    }
    return signal == SIGTERM;
  }

  /// Its exit code.
  [[nodiscard]] int wait() const {
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  Pipe out_;
  Pipe errors_;
  pid_t process_ = -1;
};

std::string last_lines(const std::string& text) {
  constexpr std::size_t kMost = 2000;
  return text.size() <= kMost ? text : "..." + text.substr(text.size() - kMost);
}

}  // namespace

ProcessResult run_process(const std::vector<std::string>& arguments, Seconds limit) {
  Child child(arguments);
  ProcessResult result;
  const bool is_in_time = child.listen(result, limit);
  result.code = child.wait();
  if (!is_in_time) {
    throw ProcessError(fmt::format("{}: stopped, it took longer than {:g} s\n{}", arguments.front(),
                                   limit.value, last_lines(result.errors)));
  }
  if (result.code == kNotStarted && result.errors.empty()) {
    throw ProcessError(fmt::format("{}: cannot be started", arguments.front()));
  }
  return result;
}

std::string run_checked(const std::string& what, const std::vector<std::string>& arguments,
                        Seconds limit) {
  ProcessResult result = run_process(arguments, limit);
  if (result.code != 0) {
    throw ProcessError(
        fmt::format("{}: exit code {}\n{}", what, result.code, last_lines(result.errors)));
  }
  return std::move(result.out);
}

}  // namespace foretrain::live
