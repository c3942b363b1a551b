// SPDX-License-Identifier: Apache-2.0
#include "sim/study/sweep/sweep.hpp"

#include <exception>
#include <map>
#include <optional>

#include <nlohmann/json.hpp>

#include "sim/core/error.hpp"
#include "sim/study/sweep/values.hpp"
#include "sim/study/worker_pool.hpp"

namespace foretrain::sweep {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kMostAttempts = 2;

std::string varied_json(const std::vector<Assignment>& assignments) {
  Json json = Json::object();
  for (const Assignment& assignment : assignments) {
    json[assignment.key] = typed(assignment.value);
  }
  return dumped(json);
}

// What a worker sends home: a letter that says which, and the text.
constexpr char kResult = 'r';
constexpr char kRefusal = 'n';
constexpr char kBug = 'b';

std::string carry_out(const std::function<std::string()>& predict) {
  try {
    return kResult + predict();
  } catch (const ConfigError& error) {
    return kRefusal + error.diagnostics().front().message;
  } catch (const std::exception& error) {
    return kBug + std::string(error.what());
  }
}

class Sweep {
 public:
  Sweep(const Grid& grid, const Shard& shard, Journal& journal, std::size_t jobs,
        const Prepare& prepare)
      : grid_(grid), shard_(shard), journal_(journal), prepare_(prepare), pool_(jobs) {
    tally_.total = shard.size(grid.size());
    next_ = shard.number - 1;
  }

  Tally run(Interrupt& interrupt, const SweepProgress& progress) {
    while (true) {
      tally_.signal = interrupt.signal();
      if (tally_.signal != 0) {
        break;
      }
      const bool can_start = pool_.has_room() && next_ < grid_.size();
      if (can_start) {
        hand_out(next_);
        next_ += shard_.count;
      } else if (pool_.is_idle()) {
        break;
      }
      take_in(can_start ? WorkerPool::Wait::not_at_all : WorkerPool::Wait::until_one_ends,
              interrupt);
      if (progress) {
        progress(tally_);
      }
    }
    return tally_;
  }

 private:
  struct Pending {
    Row row;
    std::function<std::string()> predict;
    int attempts = 1;
  };

  void hand_out(std::uint64_t point) {
    Pending flight;
    flight.row.point = point;
    const std::vector<Assignment> assignments = grid_.point(point);
    Prepared prepared = prepare_(assignments);
    flight.row.config_hash = prepared.config_hash;
    const std::optional<Status> known = journal_.recall(point, prepared.config_hash);
    if (known && *known != Status::crashed) {
      ++tally_.known;
      return;
    }
    flight.row.varied = varied_json(assignments);
    if (!prepared.refusal.empty()) {
      flight.row.status = Status::refused;
      flight.row.reason = prepared.refusal;
      record(flight.row);
      return;
    }
    flight.predict = std::move(prepared.predict);
    start(flight);
    pending_.emplace(point, std::move(flight));
  }

  void start(const Pending& flight) {
    pool_.start(flight.row.point, [&flight] { return carry_out(flight.predict); });
  }

  void take_in(WorkerPool::Wait wait, Interrupt& interrupt) {
    for (Finished& finished : pool_.take(wait, interrupt.file())) {
      // A signal to all processes of a terminal may reach the workers first.
      if (!finished.text && interrupt.signal() != 0) {
        continue;
      }
      finish(finished);
    }
  }

  void finish(Finished& finished) {
    Pending& flight = pending_.at(finished.index);
    if (!finished.text && flight.attempts < kMostAttempts) {
      ++flight.attempts;
      start(flight);
      return;
    }
    Row& row = flight.row;
    row.wall = finished.wall;
    if (!finished.text || finished.text->empty()) {
      row.status = Status::crashed;
      row.reason = "its worker process " +
                   (finished.text ? std::string("ended without a result") : finished.failure);
    } else if (finished.text->front() == kResult) {
      row.result = finished.text->substr(1);
    } else {
      row.status = finished.text->front() == kRefusal ? Status::refused : Status::crashed;
      row.reason = finished.text->substr(1);
    }
    record(row);
    pending_.erase(finished.index);
  }

  void record(const Row& row) {
    journal_.record(row);
    ++tally_.computed;
    tally_.crashed += row.status == Status::crashed ? 1 : 0;
  }

  const Grid& grid_;
  const Shard& shard_;
  Journal& journal_;
  const Prepare& prepare_;
  WorkerPool pool_;
  std::map<std::uint64_t, Pending> pending_;
  std::uint64_t next_ = 0;
  Tally tally_;
};

}  // namespace

Tally run_sweep(const Grid& grid, const Shard& shard, Journal& journal, std::size_t jobs,
                const Prepare& prepare, Interrupt& interrupt, const SweepProgress& progress) {
  return Sweep(grid, shard, journal, jobs, prepare).run(interrupt, progress);
}

}  // namespace foretrain::sweep
