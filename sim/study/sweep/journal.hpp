// What a sweep has found so far, in a SQLite file that is whole whenever the program is killed:
// each result is a transaction of its own. One process writes to a journal; any may read it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sim/core/units.hpp"

namespace foretrain::sweep {

/// What became of a point.
enum class Status : std::uint8_t {
  predicted,
  refused,  ///< the run cannot be, for a reason
  crashed   ///< its worker died; it is tried again when the sweep goes on
};
[[nodiscard]] std::string_view name_of(Status status);

/// Throws ConfigError about the journal at `path`.
[[noreturn]] void refuse_journal(const std::string& path, std::string message);

/// Which sweep a journal is of. Results of earlier inputs or versions stay in the file, unseen.
struct Identity {
  std::string grid;     ///< Grid::to_json
  std::string run;      ///< the run file's name, for people
  std::string inputs;   ///< hash of the run file's text and of the keys set in it
  std::string version;  ///< of foretrain
};

struct Row {
  std::uint64_t point = 0;
  std::string config_hash;  ///< as in a prediction's provenance: over all texts of its inputs
  std::string varied;       ///< JSON object of the varied keys, for people who query the file
  Status status = Status::predicted;
  std::string result;  ///< JSON object; empty unless predicted
  std::string reason;  ///< empty when predicted
  Seconds wall;        ///< of the worker; differs from run to run
};

struct Counts {
  std::uint64_t predicted = 0;
  std::uint64_t refused = 0;
  std::uint64_t crashed = 0;
  [[nodiscard]] std::uint64_t all() const { return predicted + refused + crashed; }
};

/// Every function throws ConfigError when the file cannot be used: it is not there, no journal,
/// locked, full.
class Journal {
 public:
  /// Makes the journal, or goes on with the one that is there. Throws ConfigError when that is of
  /// another grid. An empty path is a journal in memory.
  [[nodiscard]] static Journal open(const std::string& path, const Identity& identity);
  /// Opens one that is there.
  [[nodiscard]] static Journal read(const std::string& path);

  Journal(Journal&& other) noexcept;
  ~Journal();

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] const Identity& identity() const;
  /// Whether the file had results of other inputs or another version when it was opened.
  [[nodiscard]] bool has_changed() const;

  /// What became of this point with these inputs, if it is known. It counts as the point's latest
  /// result from here on.
  [[nodiscard]] std::optional<Status> recall(std::uint64_t point, const std::string& config_hash);
  void record(const Row& row);

  /// The latest result of each point, in the order of the points.
  void for_each(const std::function<void(const Row&)>& visit) const;
  [[nodiscard]] Counts counts() const;

  /// Calls `write`, which records; all of it is kept, or nothing when it throws or the program
  /// dies.
  void all_or_nothing(const std::function<void()>& write);

 private:
  struct Store;
  explicit Journal(std::unique_ptr<Store> store);

  std::unique_ptr<Store> store_;
};

}  // namespace foretrain::sweep
