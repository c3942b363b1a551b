// The command sweep, in the test's process and in processes of its own that are killed.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <random>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "tests/sim/cli/command_line.hpp"
#include "tests/support/catch.hpp"

using Json = nlohmann::json;

namespace foretrain::testing {
namespace {

using Options = std::vector<std::string>;

/// The small run and a journal in its folder.
class SmallSweep {
 public:
  [[nodiscard]] std::string path(const std::string& name) const {
    return small_.folder().path() + "/" + name;
  }
  [[nodiscard]] Outcome operator()(const Options& options,
                                   const std::string& journal = "j.sqlite") const {
    return small_("sweep", with({"--jobs", "2", "--journal", path(journal)}, options));
  }
  [[nodiscard]] std::string csv(const std::string& journal) const {
    return command_line({"sweep", "export", path(journal), "--format", "csv"}).out;
  }
  [[nodiscard]] const SmallRun& small() const { return small_; }

 private:
  SmallRun small_;
};

const Options kGrid = {"--vary", "parallel.tensor=1..8", "--vary", "training.micro_batch=1,2,3"};

}  // namespace

TEST_CASE("a point of a sweep is what simulate says with the same --set", "[cli]") {
  const SmallSweep sweep;
  const Outcome outcome = sweep(with(kGrid, {"--format", "json"}));
  CHECK(outcome.code == cli::kGood);
  const Json json = Json::parse(outcome.out);
  REQUIRE(json.at("points").size() == 12);
  std::size_t predicted = 0;
  for (const Json& point : json.at("points")) {
    const Options sets = {
        "--set", "parallel.tensor=" + point.at("set").at("parallel.tensor").dump(), "--set",
        "training.micro_batch=" + point.at("set").at("training.micro_batch").dump()};
    const Outcome alone = sweep.small()("simulate", with(sets, {"--format", "json"}));
    if (point.at("status") != "predicted") {
      CHECK(alone.code == cli::kBadInput);
      CHECK(has(alone.talk, point.at("reason").get<std::string>()));
      continue;
    }
    ++predicted;
    const Json single = Json::parse(alone.out);
    // The clock of the second simulation in a process does not start at nought.
    for (const char* same : {"step_time_s", "tokens_per_s", "tokens_per_s_per_gpu", "mfu", "hfu",
                             "model_tflops_per_gpu", "training_time_s"}) {
      CHECK(point.at(same).get<double>() == Approx(single.at(same).get<double>()).epsilon(1e-9));
    }
    for (const auto& [part, seconds] : single.at("breakdown_s").items()) {
      CHECK(point.at("breakdown_s").at(part).get<double>() ==
            Approx(seconds.get<double>()).epsilon(1e-6).margin(1e-11));
    }
    CHECK(point.at("breakdown_s").size() == single.at("breakdown_s").size());
    CHECK(point.at("config_hash") == single.at("provenance").at("config_hash"));
    double peak = 0;
    for (const Json& stage : single.at("memory")) {
      peak = std::max(peak, stage.at("peak_bytes").get<double>());
    }
    CHECK(point.at("peak_memory_bytes") == peak);
  }
  // Tensor 8 x pipeline 2 is too much for 8 GPUs; a micro-batch of 3 does not divide 8 sequences.
  CHECK(predicted == 3 * 2);
}

TEST_CASE("a sweep varies models, platforms and overrides, and refuses what there is not",
          "[cli]") {
  const SmallSweep sweep;
  const Outcome outcome =
      sweep({"--vary", "model=gpt2,gtp2", "--vary", "platform=dgx-a100-40gb,dgx-h100", "--vary",
             "override.platform.nics_per_node=2,4", "--format", "csv"});
  CHECK(outcome.code == cli::kGood);
  const auto lines = split(outcome.out, '\n');
  REQUIRE(lines.size() == 9);
  CHECK(has(lines[1], "gpt2,dgx-a100-40gb,2,predicted,8,"));
  CHECK(has(lines[8], "no model is called 'gtp2'; did you mean 'gpt2'?"));
}

TEST_CASE("a sweep goes on with its journal, and starts anew when the run file changes", "[cli]") {
  const SmallSweep sweep;
  CHECK(has(sweep(kGrid).talk, "12 of 12 points are in " + sweep.path("j.sqlite") + ", 0 of them"));
  const Outcome again = sweep(with(kGrid, {"--resume"}));
  CHECK(has(again.talk, "12 of them from before"));
  CHECK(has(again.out, "12 of 12 points: 6 predicted, 6 refused, 0 crashed"));
  const Outcome changed = sweep(with(kGrid, {"--set", "training.sequence_length=64"}));
  CHECK(has(changed.talk, "all points are computed again"));
  CHECK(has(changed.talk, "0 of them from before"));
  CHECK_FALSE(changed.out == again.out);
  CHECK(sweep(kGrid).out == again.out);
  CHECK(has(sweep(with(kGrid, {"--resume"}), "new.sqlite").talk, "the sweep starts anew"));
}

TEST_CASE("shards of a sweep, merged, print what the whole sweep prints", "[cli]") {
  const SmallSweep sweep;
  const Outcome whole = sweep(with(kGrid, {"--format", "csv"}));
  CHECK(sweep.csv("j.sqlite") == whole.out);
  // All three of the second shard's points are refused, which is no failure of the shard.
  Options merge = {"sweep", "merge", sweep.path("merged.sqlite")};
  for (const char* shard : {"1/4", "2/4", "3/4", "4/4"}) {
    const std::string name = std::string("part") + shard[0];
    const Outcome part = sweep(with(kGrid, {"--shard", shard, "--quiet"}), name);
    CHECK(part.code == cli::kGood);
    CHECK(part.out.empty());
    merge.push_back(sweep.path(name));
  }
  CHECK(command_line(merge).code == cli::kGood);
  CHECK(sweep.csv("merged.sqlite") == whole.out);
  const Outcome half = command_line({"sweep", "merge", sweep.path("half"), sweep.path("part1")});
  CHECK(half.code == cli::kConditionFailed);
  CHECK(has(half.talk, "3 of 12 points"));
}

TEST_CASE("sweep says what is wrong with its options and the run file at once", "[cli]") {
  const SmallSweep sweep;
  const auto refusal = [&](const Options& options) {
    const Outcome outcome = sweep(options);
    CHECK(outcome.code == cli::kBadInput);
    CHECK(outcome.out.empty());
    return outcome.talk;
  };
  CHECK(has(refusal({"--vary", "parallel.tensr=1,2"}),
            "--vary parallel.tensr: parallel: unknown key 'tensr'; did you mean 'tensor'?"));
  CHECK(has(refusal({"--vary", "paralel.tensor=1,2"}), "did you mean 'parallel'?"));
  CHECK(has(refusal({"--vary", "parallel.tensor=1,2", "--zip", "nods=1,2"}),
            "did you mean 'nodes'?"));
  CHECK(has(refusal({"--vary", "parallel.tensor=1,2", "--set", "parallel.tensr=1"}),
            "did you mean 'tensor'?"));
  CHECK(has(refusal({"--vary", "parallel.tensor="}), "got an empty one"));
  CHECK(has(refusal({}), "expected a key to vary"));
  CHECK(has(refusal(with(kGrid, {"--shard", "3/2"})), "from 1/8 to 8/8, got '3/2'"));
  CHECK(has(refusal(with(kGrid, {"--shard", "1/2", "--emit", "slurm"})), "excludes"));
  CHECK(has(command_line({"sweep"}).talk, "expected a run file, merge or export"));
  CHECK(command_line({"sweep", "merge", "out.sqlite"}).code == cli::kBadInput);
  const std::string wrong = sweep.small().folder().write("wrong.toml", "modle = \"gpt2\"\n");
  const Outcome file = command_line({"sweep", wrong, "--vary", "parallel.tensor=1,2"});
  CHECK(file.code == cli::kBadInput);
  CHECK(has(file.talk, "wrong.toml:1:1: unknown key 'modle'; did you mean 'model'?"));
  CHECK(sweep(kGrid).code == cli::kGood);
  CHECK(has(refusal({"--vary", "nodes=1,2"}), "is the journal of another sweep"));
}

TEST_CASE("a key that only some points know is a refusal of the others", "[cli]") {
  // Top-k, which comes first, has no blocks.
  const SmallSweep sweep;
  const Outcome outcome =
      sweep({"--vary", "compression.gradients.method=top-k,block-int8", "--vary",
             "compression.gradients.block=64,256", "--format", "csv"});
  CHECK(outcome.code == cli::kGood);
  const auto lines = split(outcome.out, '\n');
  REQUIRE(lines.size() == 5);
  CHECK(has(lines[1], "top-k,64,refused"));
  CHECK(has(lines[1], "unknown key 'block'"));
  CHECK(has(lines[4], "block-int8,256,predicted"));
}

TEST_CASE("a sweep of which nothing can be predicted says so with its exit code", "[cli]") {
  const SmallSweep sweep;
  const Outcome outcome = sweep({"--vary", "parallel.tensor=5,7"});
  CHECK(outcome.code == cli::kConditionFailed);
  CHECK(has(outcome.out, "0 predicted, 2 refused"));
}

TEST_CASE("sweep prints scripts for Slurm and GNU parallel", "[cli]") {
  const SmallSweep sweep;
  const Outcome slurm = sweep(with(kGrid, {"--emit", "slurm", "--shards", "3"}));
  CHECK(slurm.code == cli::kGood);
  CHECK(has(slurm.out, "#SBATCH --array=1-3\n"));
  CHECK(has(slurm.out, "sweep merge"));
  const Outcome parallel = sweep(with(kGrid, {"--emit", "parallel", "--shards", "99"}));
  CHECK(has(parallel.out, "--shard {}/12 "));  // not more shards than points
  CHECK_FALSE(std::ifstream(sweep.path("j.sqlite")).good());
}

#ifdef FORETRAIN_BINARY

namespace {

pid_t start_binary(const Options& arguments) {
  sigset_t ending{};
  ::sigemptyset(&ending);
  ::sigaddset(&ending, SIGINT);
  ::sigaddset(&ending, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);  // the handlers of the test are not the program's
  const pid_t process = ::fork();
  if (process == 0) {
    (void)::signal(SIGINT, SIG_DFL);
    (void)::signal(SIGTERM, SIG_DFL);
  }
  ::sigprocmask(SIG_UNBLOCK, &ending, nullptr);
  if (process != 0) {
    return process;
  }
  const int nowhere = ::open("/dev/null", O_WRONLY);
  ::dup2(nowhere, STDOUT_FILENO);
  ::dup2(nowhere, STDERR_FILENO);
  std::vector<char*> words = {const_cast<char*>(FORETRAIN_BINARY)};
  for (const std::string& argument : arguments) {
    words.push_back(const_cast<char*>(argument.c_str()));
  }
  words.push_back(nullptr);
  ::execv(words[0], words.data());
  ::_exit(127);
}

/// A worker of the process, or the process itself while it has none.
pid_t worker_of(pid_t process) {
  const std::string id = std::to_string(process);
  std::ifstream file("/proc/" + id + "/task/" + id + "/children");
  pid_t worker = process;
  file >> worker;
  return worker;
}

}  // namespace

TEST_CASE("the program, killed or its workers killed at random moments, resumes to the same table",
          "[cli]") {
  const SmallSweep sweep;
  const Options grid = {"--vary", "parallel.tensor=1,2,4",
                        "--vary", "training.micro_batch=1,2",
                        "--vary", "training.sequence_length=64..640+64"};
  const auto arguments = [&](const std::string& journal) {
    return with({"sweep", sweep.small().file(), "--jobs", "2", "--journal", sweep.path(journal)},
                grid);
  };
  int status = -1;
  ::waitpid(start_binary(arguments("whole.sqlite")), &status, 0);
  REQUIRE(status == 0);
  std::mt19937_64 random(7);
  std::uint64_t killed = 0;
  status = -1;
  for (std::uint64_t round = 0; status != 0; ++round) {
    REQUIRE(round < 200);
    const pid_t process = start_binary(arguments("j.sqlite"));
    // It needs some 20 ms to start; later rounds get more, so that there is progress anywhere.
    ::usleep(static_cast<useconds_t>(random() % (50'000 + 5'000 * round)));
    constexpr std::array kSignals = {SIGKILL, SIGTERM, SIGINT};
    const bool is_worker = random() % 4 == 0;
    const int signal = is_worker ? SIGKILL : kSignals[random() % kSignals.size()];
    ::kill(is_worker ? worker_of(process) : process, signal);
    ::waitpid(process, &status, 0);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    killed += code == 0 ? 0 : 1;
    CHECK((code == 0 || code == 128 + signal));
  }
  CHECK(killed >= 2);
  const bool is_same = sweep.csv("j.sqlite") == sweep.csv("whole.sqlite");
  CHECK(is_same);
}

TEST_CASE("an interrupted sweep ends with 130 or 143 and keeps its journal", "[cli]") {
  const SmallSweep sweep;
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string journal = sweep.path("j" + std::to_string(signal));
    // Half an hour of points: it is interrupted in any case.
    const pid_t process =
        start_binary({"sweep", sweep.small().file(), "--jobs", "1", "--journal", journal, "--vary",
                      "training.sequence_length=64..100000+1"});
    for (int i = 0; i < 20'000; ++i) {
      ::usleep(1'000);
      // The write-ahead log grows past its heading with the first results.
      struct stat facts {};
      if (::stat((journal + "-wal").c_str(), &facts) == 0 && facts.st_size > 20'000) {
        break;
      }
    }
    ::kill(process, signal);
    int status = 0;
    ::waitpid(process, &status, 0);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 128 + signal);
    const Outcome told = command_line({"sweep", "export", journal, "--format", "csv"});
    CHECK(told.code == cli::kGood);
    CHECK(has(told.out, ",predicted,"));
  }
}

#endif

}  // namespace foretrain::testing
