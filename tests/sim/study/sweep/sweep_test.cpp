// A sweep computes every point once, whatever becomes of its workers, and shards add up to it.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/sweep.hpp"

#include <csignal>
#include <stdexcept>

#include "sim/core/error.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/sim/study/sweep/fake_points.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

using sweep::Assignment;
using sweep::Grid;
using sweep::Journal;
using sweep::Prepared;
using sweep::Row;
using sweep::Status;
using sweep::Tally;

const Grid& swept_grid() {
  static const Grid points = sweep::parse_grid({"a=1,2,3,4", "b=1,2,3"}, {});
  return points;
}

double step_of(const std::vector<Assignment>& assignments) {
  return std::stod(assignments[0].value) + 0.1 * std::stod(assignments[1].value);
}

Prepared fine(const std::vector<Assignment>& assignments) {
  return {fake_hash(assignments), "", [step = step_of(assignments)] { return fake_result(step); }};
}

Tally sweep_into(const std::string& path, const sweep::Prepare& prepare, std::size_t jobs = 2,
                 const sweep::Shard& shard = {}, const sweep::SweepProgress& progress = {}) {
  sweep::Interrupt interrupt;
  Journal journal = Journal::open(path, identity_of(swept_grid()));
  return run_sweep(swept_grid(), shard, journal, jobs, prepare, interrupt, progress);
}

}  // namespace

TEST_CASE("a sweep finds the same with any number of workers, in whichever order they end",
          "[study]") {
  const ScratchFolder folder;
  std::string first;
  for (const std::size_t jobs : {1U, 2U, 5U, 20U}) {
    const std::string path = folder.path() + "/" + std::to_string(jobs);
    const Tally tally = sweep_into(
        path,
        [](const auto& assignments) {
          Prepared prepared = fine(assignments);
          prepared.predict = [assignments] {
            ::usleep(assignments[1].value == "1" ? 8'000 : 0);  // the first of three ends last
            return fake_result(step_of(assignments));
          };
          return prepared;
        },
        jobs);
    CHECK(tally.total == 12);
    CHECK(tally.computed == 12);
    CHECK(tally.known == 0);
    CHECK(tally.signal == 0);
    first = first.empty() ? csv_of(path) : first;
    CHECK(csv_of(path) == first);
  }
}

TEST_CASE("a sweep goes on where it was, and computes nothing twice", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  const Mark computed(folder.path() + "/computed");
  const auto counted = [&](const auto& assignments) {
    Prepared prepared = fine(assignments);
    prepared.predict = [&computed, assignments] {
      computed.add();
      return fake_result(step_of(assignments));
    };
    return prepared;
  };
  (void)sweep_into(path, counted, 2, {1, 3});
  CHECK(computed.count() == 4);
  const Tally rest = sweep_into(path, counted);
  CHECK(rest.known == 4);
  CHECK(rest.computed == 8);
  CHECK(computed.count() == 12);
  CHECK(sweep_into(path, counted).known == 12);
  CHECK(computed.count() == 12);
}

TEST_CASE("only points whose inputs have changed are computed again", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  (void)sweep_into(path, fine);
  // The file behind a=2 was edited, and its steps take twice as long.
  const auto edited = [](const auto& assignments) {
    Prepared prepared = fine(assignments);
    if (assignments[0].value == "2") {
      prepared.config_hash = fake_hash(assignments, "edited");
      prepared.predict = [assignments] { return fake_result(2 * step_of(assignments)); };
    }
    return prepared;
  };
  const Tally tally = sweep_into(path, edited);
  CHECK(tally.known == 9);
  CHECK(tally.computed == 3);
  std::size_t seen = 0;
  Journal::read(path).for_each([&](const Row& row) {
    const auto assignments = swept_grid().point(row.point);
    CHECK(row.result == fake_result(step_of(assignments) * (assignments[0].value == "2" ? 2 : 1)));
    ++seen;
  });
  CHECK(seen == 12);
}

TEST_CASE("a refusal is a result, whether it comes before the simulation or from it", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  const auto some = [](const auto& assignments) {
    Prepared prepared = fine(assignments);
    if (assignments[0].value == "1") {
      prepared.refusal = "tensor is too large";
      prepared.predict = nullptr;
    } else if (assignments[0].value == "2") {
      prepared.predict = []() -> std::string {
        throw ConfigError({Diagnostic{"", 0, 0, "nodes", "too many ranks", ""}});
      };
    }
    return prepared;
  };
  CHECK(sweep_into(path, some).crashed == 0);
  const sweep::Counts counts = Journal::read(path).counts();
  CHECK(counts.refused == 6);
  CHECK(counts.predicted == 6);
  Journal::read(path).for_each([](const Row& row) {
    const std::string a = swept_grid().point(row.point)[0].value;
    CHECK(row.reason == (a == "1" ? "tensor is too large" : a == "2" ? "too many ranks" : ""));
  });
  CHECK(sweep_into(path, some).known == 12);
}

TEST_CASE("a worker that is killed once costs an attempt, not the point", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  const std::string whole = folder.path() + "/whole.sqlite";
  (void)sweep_into(whole, fine);
  const Tally tally = sweep_into(path, [&](const auto& assignments) {
    Prepared prepared = fine(assignments);
    prepared.predict = [&folder, assignments] {
      const Mark tried(folder.path() + "/tried" + fake_hash(assignments));
      tried.add();
      if (tried.count() == 1) {
        ::raise(SIGKILL);
      }
      return fake_result(step_of(assignments));
    };
    return prepared;
  });
  CHECK(tally.crashed == 0);
  CHECK(csv_of(path) == csv_of(whole));
}

TEST_CASE("a point whose workers always die is told apart, and tried again next time", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  const auto deadly = [](const auto& assignments) {
    Prepared prepared = fine(assignments);
    if (assignments[0].value == "3") {
      prepared.predict = []() -> std::string {
        ::raise(SIGKILL);
        return "";
      };
    } else if (assignments[0].value == "4") {
      prepared.predict = []() -> std::string { throw std::logic_error("an invariant broke"); };
    }
    return prepared;
  };
  CHECK(sweep_into(path, deadly).crashed == 6);
  Journal::read(path).for_each([](const Row& row) {
    const std::string a = swept_grid().point(row.point)[0].value;
    CHECK((row.status == Status::crashed) == (a == "3" || a == "4"));
    CHECK(row.reason == (a == "3"   ? "its worker process was killed by signal 9"
                         : a == "4" ? "an invariant broke"
                                    : ""));
  });
  const Tally again = sweep_into(path, fine);
  CHECK(again.known == 6);
  CHECK(again.computed == 6);
  CHECK(Journal::read(path).counts().predicted == 12);
}

TEST_CASE("progress counts every point that is done", "[study]") {
  const ScratchFolder folder;
  std::uint64_t last = 0;
  const auto check = [&last](const Tally& tally) {
    CHECK(tally.done() >= last);
    CHECK(tally.done() <= tally.total);
    last = tally.done();
  };
  const std::string path = folder.path() + "/j.sqlite";
  CHECK(sweep_into(path, fine, 3, {2, 5}, check).total == 3);  // of 12, the 2nd, 7th, 12th
  CHECK(last == 3);
}

TEST_CASE("the journals of any number of shards are, united, that of the whole sweep", "[study]") {
  const ScratchFolder folder;
  const std::string whole = folder.path() + "/whole.sqlite";
  (void)sweep_into(whole, fine);
  for (std::uint64_t n = 1; n <= 5; ++n) {
    std::vector<std::string> parts;
    for (std::uint64_t i = n; i >= 1; --i) {
      parts.push_back(folder.path() + "/" + std::to_string(i) + "of" + std::to_string(n));
      (void)sweep_into(parts.back(), fine, 2, {i, n});
    }
    const std::string merged = folder.path() + "/merged" + std::to_string(n);
    CHECK(sweep::merge(merged, parts).counts().predicted == 12);
    CHECK(csv_of(merged) == csv_of(whole));
    CHECK(sweep::merge(merged, parts).counts().predicted == 12);  // again, into what is there
    CHECK(csv_of(merged) == csv_of(whole));
    CHECK(sweep_into(merged, fine).known == 12);
  }
}

TEST_CASE("a union takes a result over a crash, from whichever journal", "[study]") {
  const ScratchFolder folder;
  const std::string good = folder.path() + "/good";
  const std::string bad = folder.path() + "/bad";
  (void)sweep_into(good, fine);
  (void)sweep_into(bad, [](const auto& assignments) {
    Prepared prepared = fine(assignments);
    prepared.predict = []() -> std::string { throw std::logic_error("out of memory"); };
    return prepared;
  });
  CHECK(sweep::merge(folder.path() + "/a", {good, bad}).counts().predicted == 12);
  CHECK(sweep::merge(folder.path() + "/b", {bad, good}).counts().predicted == 12);
}

TEST_CASE("journals that contradict each other, or are of other sweeps, are not united",
          "[study]") {
  const ScratchFolder folder;
  const std::string ours = folder.path() + "/ours";
  (void)sweep_into(ours, fine);
  const auto journal = [&](const std::string& name, const Grid& of, sweep::Identity identity,
                           Row row) {
    const std::string path = folder.path() + "/" + name;
    identity.grid = of.to_json();
    Journal::open(path, identity).record(row);
    return path;
  };
  const auto refusal = [&](const std::string& other) {
    const std::string out = folder.path() + "/out";
    const std::string text = error_of([&] { (void)sweep::merge(out, {ours, other}); });
    CHECK_FALSE(std::filesystem::exists(out));
    return text;
  };
  const Row row = fake_row(swept_grid(), 0, 1.1);
  const Grid more = sweep::parse_grid({"a=1,2"}, {});
  CHECK(has(refusal(journal("grid", more, identity_of(more), row)),
            "it varied a=1,2, not a=1,2,3,4 b=1,2,3"));
  CHECK(has(refusal(journal("inputs", swept_grid(), identity_of(swept_grid(), "edited"), row)),
            "is of another run file, or other --set keys"));
  sweep::Identity younger = identity_of(swept_grid());
  younger.version = "2.0";
  CHECK(has(refusal(journal("version", swept_grid(), younger, row)), "is of foretrain 2.0"));
  CHECK(has(refusal(journal("result", swept_grid(), identity_of(swept_grid()),
                            fake_row(swept_grid(), 0, 1.2))),
            "has another result for {}"));
  Row elsewhere = row;
  elsewhere.config_hash = "elsewhere";
  CHECK(has(refusal(journal("texts", swept_grid(), identity_of(swept_grid()), elsewhere)),
            "a model, platform or stack file has changed"));
  CHECK(has(refusal(folder.path() + "/none"), "there is no such journal"));
  CHECK(has(refusal(folder.write("text", std::string(5000, 'x'))), "file is not a database"));
}

}  // namespace foretrain::testing
