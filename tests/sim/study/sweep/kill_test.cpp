// A sweep that is killed again and again, and resumed, loses no more than the points in flight.
// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/study/worker_pool.hpp"
#include "tests/sim/study/sweep/fake_points.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"

namespace foretrain::testing {
namespace {

using sweep::Grid;
using sweep::Journal;

constexpr std::size_t kJobs = 3;

const Grid& killed_grid() {
  static const Grid points = sweep::parse_grid({"a=1..40+1", "b=1,2"}, {});
  return points;
}

// Three milliseconds for a point; one of three is refused.
sweep::Prepared slow(const std::vector<sweep::Assignment>& assignments, const Mark& started) {
  sweep::Prepared prepared;
  prepared.config_hash = fake_hash(assignments);
  const int a = std::stoi(assignments[0].value);
  if (a % 3 == 0) {
    prepared.refusal = "three does not divide";
    return prepared;
  }
  prepared.predict = [a, started] {
    started.add();
    ::usleep(3'000);
    return fake_result(a);
  };
  return prepared;
}

// In a process of its own; ends with 0 or, as a shell has it, 128 + the signal.
pid_t start_sweep(const std::string& path, const Mark& started) {
  const sweep::Interrupt held;  // until the new process listens, not the test's own handlers
  const pid_t process = ::fork();
  if (process != 0) {
    return process;
  }
  int code = 1;
  try {
    sweep::Interrupt interrupt;
    Journal journal = Journal::open(path, identity_of(killed_grid()));
    const sweep::Tally tally = run_sweep(
        killed_grid(), {}, journal, kJobs,
        [&](const auto& assignments) { return slow(assignments, started); }, interrupt);
    code = tally.signal == 0 ? 0 : 128 + tally.signal;
  } catch (...) {
  }
  ::_exit(code);
}

std::uint64_t num_recorded(const std::string& path) {
  return std::filesystem::exists(path) && std::filesystem::file_size(path) > 0
             ? Journal::open(path, identity_of(killed_grid())).counts().all()
             : 0;
}

std::string undisturbed_csv(const ScratchFolder& folder) {
  const std::string path = folder.path() + "/whole.sqlite";
  int status = 0;
  ::waitpid(start_sweep(path, Mark(folder.path() + "/unused")), &status, 0);
  CHECK(status == 0);
  return csv_of(path);
}

// A process that somebody has yet to wait for is dead all the same.
bool is_alive(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string id;
  std::string name;
  char state = 'Z';
  file >> id >> name >> state;
  return state != 'Z' && state != 'X';
}

}  // namespace

TEST_CASE(
    "a sweep killed at random moments, and resumed until it is whole, loses at most the "
    "points in flight",
    "[study]") {
  const ScratchFolder folder;
  const std::string expected = undisturbed_csv(folder);
  const std::uint64_t seed = GENERATE(1U, 2U, 3U);
  std::mt19937_64 random(seed);
  const std::string path = folder.path() + "/j" + std::to_string(seed);
  const Mark started(folder.path() + "/started" + std::to_string(seed));
  constexpr int kSignals[] = {SIGKILL, SIGTERM, SIGINT};
  std::uint64_t recorded = 0;
  std::uint64_t kills = 0;
  bool is_whole = false;
  for (std::uint64_t round = 0; !is_whole; ++round) {
    REQUIRE(round < 300);
    const pid_t process = start_sweep(path, started);
    // Later rounds get more time, so that there is progress on any machine.
    ::usleep(static_cast<useconds_t>(random() % (15'000 + 2'000 * round)));
    const int signal = kSignals[random() % 3];
    ::kill(process, signal);
    int status = 0;
    ::waitpid(process, &status, 0);
    is_whole = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_whole) {
      ++kills;
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      CHECK(code == 128 + signal);
    }
    const std::uint64_t now = num_recorded(path);
    CHECK(now >= recorded);  // nothing is lost that was there
    recorded = now;
  }
  CHECK(kills >= 5);
  CHECK(csv_of(path) == expected);
  // 54 points of 80 are computed (a of 1 to 40 but 13 multiples of three, b of two), and of each
  // round that was killed at most those in flight, again.
  CHECK(started.count() >= 54);
  CHECK(started.count() <= 54 + kills * kJobs);
}

TEST_CASE("workers do not outlive a process that is killed", "[study]") {
  const ScratchFolder folder;
  const std::string file = folder.path() + "/worker";
  const pid_t process = ::fork();
  if (process == 0) {
    WorkerPool pool(1);
    pool.start(0, [&file] {
      std::ofstream(file + ".new") << ::getpid() << '\n';
      std::filesystem::rename(file + ".new", file);
      ::sleep(60);
      return std::string();
    });
    (void)pool.take(WorkerPool::Wait::until_one_ends);
    ::_exit(0);
  }
  for (int i = 0; i < 10'000 && !std::filesystem::exists(file); ++i) {
    ::usleep(1'000);
  }
  pid_t worker = 0;
  std::ifstream(file) >> worker;
  REQUIRE(worker > 0);
  CHECK(is_alive(worker));
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  for (int i = 0; i < 10'000 && is_alive(worker); ++i) {
    ::usleep(1'000);
  }
  CHECK_FALSE(is_alive(worker));
}

TEST_CASE("an interrupt keeps the first signal and ends nothing", "[study]") {
  const auto is_kept_back = [](int signal) {
    sigset_t blocked{};
    ::sigprocmask(SIG_BLOCK, nullptr, &blocked);
    return ::sigismember(&blocked, signal) == 1;
  };
  {
    sweep::Interrupt interrupt;
    CHECK(interrupt.signal() == 0);
    CHECK(is_kept_back(SIGTERM));
    ::raise(SIGTERM);
    CHECK(interrupt.signal() == SIGTERM);
    ::raise(SIGINT);
    CHECK(interrupt.signal() == SIGTERM);
  }
  CHECK_FALSE(is_kept_back(SIGTERM));
  CHECK_FALSE(is_kept_back(SIGINT));
}

}  // namespace foretrain::testing
