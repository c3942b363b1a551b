// A journal keeps what was recorded, knows what is out of date, and is nothing but a journal.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/journal.hpp"

#include <stdexcept>

#include <SQLiteCpp/SQLiteCpp.h>

#include "sim/core/error.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/sim/study/sweep/fake_points.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/scratch_folder.hpp"
#include "tests/support/text.hpp"

namespace foretrain::testing {
namespace {

using sweep::Grid;
using sweep::Journal;
using sweep::Row;
using sweep::Status;

const Grid& recorded_grid() {
  static const Grid four = sweep::parse_grid({"k=1,2,3,4"}, {});
  return four;
}

std::vector<Row> rows_of(const Journal& journal) {
  std::vector<Row> rows;
  journal.for_each([&rows](const Row& row) { rows.push_back(row); });
  return rows;
}

}  // namespace

TEST_CASE("a journal gives back what was recorded, in the order of the points", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  Row refused = fake_row(recorded_grid(), 0, 1);
  refused.status = Status::refused;
  refused.result = "";
  refused.reason = "too \"large\", \xC3\xA9 by far";
  {
    Journal journal = Journal::open(path, identity_of(recorded_grid()));
    journal.record(fake_row(recorded_grid(), 3, 0.1 + 0.2));
    journal.record(refused);
  }
  const Journal journal = Journal::read(path);
  CHECK(journal.identity().grid == recorded_grid().to_json());
  const std::vector<Row> rows = rows_of(journal);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].point == 0);
  CHECK(rows[0].status == Status::refused);
  CHECK(rows[0].reason == refused.reason);
  CHECK(rows[1].point == 3);
  CHECK(rows[1].result == fake_result(0.1 + 0.2));
  CHECK(rows[1].config_hash == fake_hash(recorded_grid().point(3)));
  CHECK(journal.counts().predicted == 1);
  CHECK(journal.counts().refused == 1);
  CHECK(journal.counts().all() == 2);
}

TEST_CASE("a journal in memory leaves no file", "[study]") {
  Journal journal = Journal::open("", identity_of(recorded_grid()));
  journal.record(fake_row(recorded_grid(), 1, 1));
  CHECK(journal.counts().all() == 1);
}

TEST_CASE("a point of changed inputs is unknown, and its newest result counts", "[study]") {
  Journal journal = Journal::open("", identity_of(recorded_grid()));
  Row old_row = fake_row(recorded_grid(), 2, 1);
  old_row.config_hash = "old";
  Row new_row = fake_row(recorded_grid(), 2, 2);
  new_row.config_hash = "new";
  CHECK_FALSE(journal.recall(2, "old"));
  journal.record(old_row);
  CHECK(journal.recall(2, "old") == Status::predicted);
  CHECK_FALSE(journal.recall(2, "new"));
  journal.record(new_row);
  REQUIRE(rows_of(journal).size() == 1);
  CHECK(rows_of(journal)[0].result == fake_result(2));
  // The file of a model went back to what it was: its result is there already.
  CHECK(journal.recall(2, "old") == Status::predicted);
  REQUIRE(rows_of(journal).size() == 1);
  CHECK(rows_of(journal)[0].result == fake_result(1));
}

TEST_CASE("results of another run file or version are kept, but do not count", "[study]") {
  const ScratchFolder folder;
  const std::string path = folder.path() + "/j.sqlite";
  {
    Journal journal = Journal::open(path, identity_of(recorded_grid(), "first"));
    CHECK_FALSE(journal.has_changed());
    journal.record(fake_row(recorded_grid(), 0, 1));
  }
  {
    const Journal journal = Journal::open(path, identity_of(recorded_grid(), "second"));
    CHECK(journal.has_changed());
    CHECK(journal.counts().all() == 0);
  }
  {
    sweep::Identity younger = identity_of(recorded_grid(), "first");
    younger.version = "2.0";
    Journal journal = Journal::open(path, younger);
    CHECK(journal.counts().all() == 0);
    CHECK_FALSE(journal.recall(0, fake_hash(recorded_grid().point(0))));
  }
  Journal journal = Journal::open(path, identity_of(recorded_grid(), "first"));
  CHECK(journal.counts().all() == 1);
  CHECK(journal.recall(0, fake_hash(recorded_grid().point(0))) == Status::predicted);
}

TEST_CASE("a point that is recorded again has one result", "[study]") {
  Journal journal = Journal::open("", identity_of(recorded_grid()));
  journal.record(fake_row(recorded_grid(), 0, 1));
  journal.record(fake_row(recorded_grid(), 0, 1));
  CHECK(rows_of(journal).size() == 1);
}

TEST_CASE("what fails half way leaves nothing", "[study]") {
  Journal journal = Journal::open("", identity_of(recorded_grid()));
  CHECK_THROWS_AS(journal.all_or_nothing([&] {
    journal.record(fake_row(recorded_grid(), 0, 1));
    throw std::runtime_error("half way");
  }),
                  std::runtime_error);
  CHECK(journal.counts().all() == 0);
  journal.all_or_nothing([&] { journal.record(fake_row(recorded_grid(), 0, 1)); });
  CHECK(journal.counts().all() == 1);
}

TEST_CASE("a file that is no journal of this sweep is refused and left alone", "[study]") {
  const ScratchFolder folder;
  const auto open = [&](const std::string& path) {
    return error_of([&] { return Journal::open(path, identity_of(recorded_grid())); });
  };
  const auto read = [&](const std::string& path) {
    return error_of([&] { return Journal::read(path); });
  };
  const std::string text = folder.write("text", std::string(5000, 'x'));
  CHECK(has(open(text), "text: cannot be used as a journal: file is not a database"));
  CHECK(has(read(text), "file is not a database"));
  const std::string other = folder.path() + "/other.sqlite";
  {
    SQLite::Database database(other, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec("CREATE TABLE photos (id INTEGER)");
  }
  CHECK(has(open(other), "is a SQLite database, but not the journal of a sweep"));
  CHECK(has(read(other), "is a SQLite database, but not the journal of a sweep"));
  const std::string younger = folder.path() + "/younger.sqlite";
  (void)Journal::open(younger, identity_of(recorded_grid()));
  SQLite::Database(younger, SQLite::OPEN_READWRITE).exec("PRAGMA user_version = 7");
  CHECK(has(open(younger), "is a journal of form 7; this foretrain knows form 1"));
  CHECK(has(read(younger), "is a journal of form 7; this foretrain knows form 1"));
  const std::string damaged = folder.path() + "/damaged.sqlite";
  (void)Journal::open(damaged, identity_of(recorded_grid()));
  SQLite::Database(damaged, SQLite::OPEN_READWRITE).exec("UPDATE sweep SET grid = '[{'");
  CHECK(has(read(damaged), "does not say what it varied"));
  CHECK(has(read(folder.path() + "/none.sqlite"), "there is no such journal"));
  CHECK(has(read(folder.write("empty", "")), "is empty"));
  CHECK(has(open(folder.path() + "/no/folder/j.sqlite"), "unable to open database file"));
  const std::string ours = folder.path() + "/ours.sqlite";
  (void)Journal::open(ours, identity_of(recorded_grid()));
  const Grid more = sweep::parse_grid({"k=1,2,3,4,5"}, {});
  const std::string refusal = error_of([&] { return Journal::open(ours, identity_of(more)); });
  CHECK(has(refusal, "is the journal of another sweep, which varied k=1,2,3,4;"));
}

TEST_CASE("an empty file becomes a journal", "[study]") {
  const ScratchFolder folder;
  Journal journal = Journal::open(folder.write("empty", ""), identity_of(recorded_grid()));
  journal.record(fake_row(recorded_grid(), 0, 1));
  CHECK(journal.counts().all() == 1);
}

}  // namespace foretrain::testing
