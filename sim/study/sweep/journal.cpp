// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/journal.hpp"

#include <array>
#include <filesystem>
#include <sys/vfs.h>
#include <utility>

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>
#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/sweep/grid.hpp"

namespace foretrain::sweep {
namespace {

namespace fs = std::filesystem;

// Says of a file that it is ours ("ftsw"), and in which form.
constexpr int kApplication = 0x66747377;
constexpr int kSchema = 1;
constexpr int kBusyMilliseconds = 20'000;

// `results` is what counts: of each point the latest row for the inputs and version of the sweep.
constexpr const char* kTables = R"sql(
CREATE TABLE sweep (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  grid TEXT NOT NULL,
  run TEXT NOT NULL,
  inputs TEXT NOT NULL,
  version TEXT NOT NULL
);
CREATE TABLE points (
  row INTEGER PRIMARY KEY AUTOINCREMENT,
  point INTEGER NOT NULL,
  config_hash TEXT NOT NULL,
  version TEXT NOT NULL,
  inputs TEXT NOT NULL,
  varied TEXT NOT NULL,
  status TEXT NOT NULL,
  result TEXT NOT NULL,
  reason TEXT NOT NULL,
  wall_s REAL NOT NULL,
  UNIQUE (config_hash, version)
);
CREATE INDEX points_by_point ON points (point, row);
CREATE VIEW results AS
  SELECT point, config_hash, varied, status, result, reason, wall_s
  FROM points AS p
  WHERE inputs = (SELECT inputs FROM sweep) AND version = (SELECT version FROM sweep)
    AND row = (SELECT MAX(q.row) FROM points AS q
               WHERE q.point = p.point AND q.inputs = p.inputs AND q.version = p.version);
)sql";

constexpr std::array<std::pair<std::string_view, Status>, 3> kStatuses = {
    {{"predicted", Status::predicted}, {"refused", Status::refused}, {"crashed", Status::crashed}}};

Status status_called(const std::string& path, const std::string& name) {
  for (const auto& [known, status] : kStatuses) {
    if (known == name) {
      return status;
    }
  }
  refuse_journal(path, "has a point of status '" + name + "', which this foretrain does not know");
}

// What SQLite cannot do is the file's fault or the disk's, not a bug.
template <class Work>
auto guarded(const std::string& path, Work work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    refuse_journal(path, fmt::format("cannot be used as a journal: {}", error.getErrorStr()));
  }
}

// The write-ahead log needs memory shared between processes, which files on other machines lack
// (https://www.sqlite.org/wal.html). The numbers are in linux/magic.h and the file systems'
// sources.
bool is_on_network(const std::string& path) {
  constexpr std::array<std::uint32_t, 8> kNetworks = {
      0x00006969 /* nfs */,    0x0BD00BD0 /* lustre */,
      0x47504653 /* gpfs */,   0xFF534D42 /* cifs */,
      0xFE534D42 /* smb2 */,   0x00C36400 /* ceph */,
      0x19830326 /* beegfs */, 0x65735546 /* fuse */};
  const fs::path folder = fs::absolute(path).parent_path();
  struct statfs facts {};
  if (::statfs(folder.c_str(), &facts) != 0) {
    return false;
  }
  for (const std::uint32_t network : kNetworks) {
    if (static_cast<std::uint32_t>(facts.f_type) == network) {
      return true;
    }
  }
  return false;
}

}  // namespace

void refuse_journal(const std::string& path, std::string message) {
  throw ConfigError({Diagnostic{path, 0, 0, "", std::move(message), ""}});
}

std::string_view name_of(Status status) {
  return kStatuses.at(static_cast<std::size_t>(status)).first;
}

struct Journal::Store {
  Store(std::string name, int flags)
      : path(std::move(name)),
        database(path.empty() ? ":memory:" : path, flags, kBusyMilliseconds) {}

  std::string path;
  SQLite::Database database;
  Identity identity;
  bool has_changed = false;

  void check_form();
  void create(const Identity& wanted);
  void load_identity();
  void adopt(const Identity& wanted);
};

// Throws unless the database is empty or ours.
void Journal::Store::check_form() {
  const int application = database.execAndGet("PRAGMA application_id").getInt();
  const int schema = database.execAndGet("PRAGMA user_version").getInt();
  const bool is_empty = database.execAndGet("SELECT COUNT(*) FROM sqlite_master").getInt() == 0;
  if (application != kApplication && !is_empty) {
    refuse_journal(path, "is a SQLite database, but not the journal of a sweep");
  }
  if (application == kApplication && schema != kSchema) {
    refuse_journal(
        path, fmt::format("is a journal of form {}; this foretrain knows form {}. Name another "
                          "file, and the sweep starts anew",
                          schema, kSchema));
  }
}

void Journal::Store::create(const Identity& wanted) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  if (!database.tableExists("sweep")) {  // another process may have been faster
    database.exec(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {};", kApplication,
                              kSchema));
    database.exec(kTables);
    SQLite::Statement insert(database, "INSERT INTO sweep VALUES (1, ?, ?, ?, ?)");
    SQLite::bind(insert, wanted.grid, wanted.run, wanted.inputs, wanted.version);
    insert.exec();
  }
  transaction.commit();
}

void Journal::Store::load_identity() {
  SQLite::Statement select(database, "SELECT grid, run, inputs, version FROM sweep");
  if (!select.executeStep()) {
    refuse_journal(path, "is a journal that does not say of which sweep");
  }
  identity = {select.getColumn(0), select.getColumn(1), select.getColumn(2), select.getColumn(3)};
  try {
    (void)grid_from_json(identity.grid);
  } catch (const ConfigError& error) {
    refuse_journal(path, error.diagnostics().front().message);
  }
}

void Journal::Store::adopt(const Identity& wanted) {
  load_identity();
  if (identity.grid != wanted.grid) {
    refuse_journal(
        path, fmt::format("is the journal of another sweep, which varied {}; name another file "
                          "with --journal",
                          grid_from_json(identity.grid).text()));
  }
  has_changed = identity.inputs != wanted.inputs || identity.version != wanted.version;
  if (has_changed) {
    SQLite::Statement update(database, "UPDATE sweep SET run = ?, inputs = ?, version = ?");
    SQLite::bind(update, wanted.run, wanted.inputs, wanted.version);
    update.exec();
  }
  identity = wanted;
}

Journal::Journal(std::unique_ptr<Store> store) : store_(std::move(store)) {}
Journal::Journal(Journal&& other) noexcept = default;
Journal::~Journal() = default;

Journal Journal::open(const std::string& path, const Identity& identity) {
  return guarded(path, [&] {
    auto store = std::make_unique<Store>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    store->check_form();
    store->create(identity);
    store->adopt(identity);
    if (!path.empty()) {
      store->database.exec(is_on_network(path) ? "PRAGMA journal_mode = DELETE"
                                               : "PRAGMA journal_mode = WAL");
    }
    // A crash of the machine may cost the last results, never the file.
    store->database.exec("PRAGMA synchronous = NORMAL");
    return Journal(std::move(store));
  });
}

Journal Journal::read(const std::string& path) {
  if (!fs::exists(path)) {
    refuse_journal(path, "there is no such journal");
  }
  return guarded(path, [&] {
    auto store = std::make_unique<Store>(path, SQLite::OPEN_READWRITE);
    store->check_form();
    if (!store->database.tableExists("sweep")) {
      refuse_journal(path, "is empty, not the journal of a sweep");
    }
    store->load_identity();
    return Journal(std::move(store));
  });
}

const std::string& Journal::path() const { return store_->path; }
const Identity& Journal::identity() const { return store_->identity; }
bool Journal::has_changed() const { return store_->has_changed; }

std::optional<Status> Journal::recall(std::uint64_t point, const std::string& config_hash) {
  return guarded(store_->path, [&]() -> std::optional<Status> {
    SQLite::Statement select(
        store_->database,
        "SELECT row, status, row < (SELECT MAX(row) FROM points WHERE point = ?1) FROM points "
        "WHERE config_hash = ?2 AND version = ?3");
    SQLite::bind(select, static_cast<std::int64_t>(point), config_hash, store_->identity.version);
    if (!select.executeStep()) {
      return std::nullopt;
    }
    if (select.getColumn(2).getInt() != 0) {  // inputs went back to what they were
      SQLite::Statement renew(store_->database,
                              "UPDATE points SET row = (SELECT MAX(row) + 1 FROM points) "
                              "WHERE row = ?");
      renew.bind(1, select.getColumn(0).getInt64());
      const std::string status = select.getColumn(1);
      select.reset();
      renew.exec();
      return status_called(store_->path, status);
    }
    return status_called(store_->path, select.getColumn(1));
  });
}

void Journal::record(const Row& row) {
  guarded(store_->path, [&] {
    SQLite::Statement insert(
        store_->database,
        "INSERT OR REPLACE INTO points (point, config_hash, version, inputs, varied, status, "
        "result, reason, wall_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    SQLite::bind(insert, static_cast<std::int64_t>(row.point), row.config_hash,
                 store_->identity.version, store_->identity.inputs, row.varied,
                 std::string(name_of(row.status)), row.result, row.reason, row.wall.value);
    insert.exec();
  });
}

void Journal::for_each(const std::function<void(const Row&)>& visit) const {
  guarded(store_->path, [&] {
    SQLite::Statement select(
        store_->database,
        "SELECT point, config_hash, varied, status, result, reason, wall_s FROM results "
        "ORDER BY point");
    while (select.executeStep()) {
      Row row;
      row.point = static_cast<std::uint64_t>(select.getColumn(0).getInt64());
      row.config_hash = select.getColumn(1).getString();
      row.varied = select.getColumn(2).getString();
      row.status = status_called(store_->path, select.getColumn(3));
      row.result = select.getColumn(4).getString();
      row.reason = select.getColumn(5).getString();
      row.wall = Seconds(select.getColumn(6).getDouble());
      visit(row);
    }
  });
}

Counts Journal::counts() const {
  return guarded(store_->path, [&] {
    Counts counts;
    SQLite::Statement select(store_->database,
                             "SELECT status, COUNT(*) FROM results GROUP BY status");
    while (select.executeStep()) {
      const auto number = static_cast<std::uint64_t>(select.getColumn(1).getInt64());
      switch (status_called(store_->path, select.getColumn(0))) {
        case Status::predicted:
          counts.predicted = number;
          break;
        case Status::refused:
          counts.refused = number;
          break;
        case Status::crashed:
          counts.crashed = number;
          break;
      }
    }
    return counts;
  });
}

void Journal::all_or_nothing(const std::function<void()>& write) {
  guarded(store_->path, [&] {
    SQLite::Transaction transaction(store_->database, SQLite::TransactionBehavior::IMMEDIATE);
    write();
    transaction.commit();
  });
}

}  // namespace foretrain::sweep
