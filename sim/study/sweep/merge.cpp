// Unites the journals of shards.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <map>
#include <system_error>
#include <vector>

#include <fmt/format.h>

#include "sim/core/error.hpp"
#include "sim/study/sweep/sweep.hpp"

namespace foretrain::sweep {
namespace {

// A row and the journal that it is from.
struct Origin {
  std::string path;
  Row row;
};

void check_same(const Journal& part, const Journal& first) {
  const Identity& a = part.identity();
  const Identity& b = first.identity();
  if (a.grid != b.grid) {
    refuse_journal(
        part.path(),
        fmt::format("is the journal of another sweep than {}: it varied {}, not {}", first.path(),
                    grid_from_json(a.grid).text(), grid_from_json(b.grid).text()));
  }
  if (a.inputs != b.inputs) {
    refuse_journal(part.path(),
                   fmt::format("is of another run file, or other --set keys, than {} ({}, {})",
                               first.path(), a.run, b.run));
  }
  if (a.version != b.version) {
    refuse_journal(part.path(), fmt::format("is of foretrain {}, but {} of foretrain {}", a.version,
                                            first.path(), b.version));
  }
}

// Simulations are deterministic: two results for one point are a mistake somewhere.
void check_agree(const Origin& one, const Origin& other) {
  if (one.row.config_hash != other.row.config_hash) {
    refuse_journal(one.path,
                   fmt::format("has {} of other inputs than {} (a model, platform or stack file "
                               "has changed); run one of them again",
                               one.row.varied, other.path));
  }
  if (one.row.result != other.row.result || one.row.reason != other.row.reason) {
    refuse_journal(one.path, fmt::format("has another result for {} than {}, from the same inputs",
                                         one.row.varied, other.path));
  }
}

// An empty file is a database without tables, to SQLite as well.
bool is_there(const std::string& path) {
  std::error_code unknown;
  return std::filesystem::exists(path, unknown) && std::filesystem::file_size(path, unknown) > 0;
}

class Union {
 public:
  void add(const Journal& part) {
    part.for_each([&](const Row& row) {
      const auto [there, is_new] = rows_.try_emplace(row.point, Origin{part.path(), row});
      if (is_new || row.status == Status::crashed) {
        return;
      }
      if (there->second.row.status == Status::crashed) {
        there->second = {part.path(), row};
      } else {
        check_agree({part.path(), row}, there->second);
      }
    });
  }

  void write(Journal& journal) const {
    journal.all_or_nothing([&] {
      for (const auto& [point, origin] : rows_) {
        journal.record(origin.row);
      }
    });
  }

 private:
  std::map<std::uint64_t, Origin> rows_;
};

}  // namespace

Journal merge(const std::string& path, const std::vector<std::string>& parts) {
  FORETRAIN_ASSERT(!parts.empty(), "a union needs parts");
  const Journal first = Journal::read(parts.front());
  Union all;
  std::vector<std::string> paths = parts;
  if (is_there(path)) {
    paths.push_back(path);
  }
  for (const std::string& part : paths) {
    const Journal journal = Journal::read(part);
    check_same(journal, first);
    all.add(journal);
  }
  Journal merged = Journal::open(path, first.identity());
  all.write(merged);
  return merged;
}

}  // namespace foretrain::sweep
