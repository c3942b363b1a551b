// SPDX-License-Identifier: Apache-2.0
#include "sim/study/goodput/life.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <optional>

namespace foretrain::goodput {
namespace {

constexpr double kMostStretch = 100;  // of the work that is asked for; then a run is given up

// Streams of random numbers beside those of the parts, which are numbered from 0.
constexpr std::uint64_t kStragglerStream = 1'000'000;
constexpr std::uint64_t kIdleStream = 1'000'001;

/// An asynchronous checkpoint on its way.
struct Writing {
  Seconds work;
  Seconds safe_at;
};

class Life {
 public:
  Life(const Job& job, const RunKey& key) : job_(job), key_(key), held_(job.nodes) {
    for (std::size_t kind = 0; kind < job.parts.size(); ++kind) {
      clocks_.emplace_back(job.parts[kind], key, kind);
    }
    spares_ = job.spares;
    tally_.failures.resize(job.parts.size());
    limit_ = std::min(job.duration, kMostStretch * job.work);
    next_straggler_ = straggler_after(Seconds(0));
    next_maintenance_ = job.maintenance.interval;
  }

  Tally run() {
    while (!is_over_) {
      train();
    }
    tally_.wall = now_;
    tally_.useful = done_;
    tally_.is_finished = done_ >= job_.work || now_ >= job_.duration;
    return std::move(tally_);
  }

 private:
  Seconds& lost(Loss loss) { return tally_.lost[static_cast<std::size_t>(loss)]; }

  // Work per time: shrinking first, then the slowest node.
  double shrunk_rate() const {
    return dropped_ == 0 ? 1 : job_.shrunk_rates[static_cast<std::size_t>(dropped_) - 1];
  }
  double straggler_rate() const {
    return straggling_until_ > now_ ? 1 / job_.stragglers.slowdown : 1;
  }
  double rate() const { return shrunk_rate() * straggler_rate(); }

  std::size_t next_kind() const {
    const auto first = std::min_element(
        clocks_.begin(), clocks_.end(),
        [](const FailureClock& a, const FailureClock& b) { return a.next() < b.next(); });
    return static_cast<std::size_t>(first - clocks_.begin());
  }
  Seconds next_failure() const { return clocks_.empty() ? kNever : clocks_[next_kind()].next(); }

  // Trains at one rate until something happens.
  void train() {
    update_stragglers();
    const Seconds straggler_change = straggling_until_ > now_ ? straggling_until_ : next_straggler_;
    const Seconds end = now_ + (job_.work - done_) / rate();
    const Seconds failure = next_failure();
    const Seconds horizon =
        std::max(now_, std::min({limit_, end, failure, straggler_change, next_maintenance_}));
    if (skip_whole_intervals(horizon)) {
      return;
    }
    const Seconds due = now_ + (mark_ + job_.checkpointing.interval - done_) / rate();
    if (due < horizon) {
      train_until(due);
      done_ = mark_ + job_.checkpointing.interval;
      checkpoint();
      return;
    }
    train_until(horizon);
    if (horizon == end) {
      done_ = job_.work;
      is_over_ = true;
    } else if (horizon == limit_) {
      is_over_ = true;
    } else if (horizon == failure) {
      if (strike()) {
        recover();
      }
    } else if (horizon >= next_maintenance_) {
      maintain();
    }
  }

  void train_until(Seconds stop) { add_work(stop - now_, stop); }

  void add_work(Seconds training, Seconds stop) {
    done_ += training * rate();
    lost(Loss::shrunk) += training * (1 - shrunk_rate());
    lost(Loss::stragglers) += training * (shrunk_rate() * (1 - straggler_rate()));
    now_ = stop;
  }

  // What would come one by one, all alike: intervals with their checkpoints before the horizon.
  bool skip_whole_intervals(Seconds horizon) {
    const Checkpointing& plan = job_.checkpointing;
    const Seconds training = plan.interval / rate();
    const Seconds cycle = training + plan.stall;
    if (done_ > mark_ || dropped_ > 0 || writing_ || plan.write > cycle ||
        horizon - now_ < 3.0 * cycle) {
      return false;
    }
    const double count = std::floor((horizon - now_) / cycle) - 1;
    add_work(count * training, now_ + count * cycle);
    lost(Loss::checkpoints) += count * plan.stall;
    mark_ = done_;
    safe_ = done_;  // before anything happens: a whole cycle is left, and writing takes no longer
    return true;
  }

  Seconds straggler_after(Seconds time) {
    if (job_.stragglers.between == kNever) {
      return kNever;
    }
    return time -
           job_.stragglers.between * std::log(draw(key_, kStragglerStream, stragglers_drawn_++));
  }
  void update_stragglers() {
    while (next_straggler_ <= now_) {
      straggling_until_ = next_straggler_ + job_.stragglers.duration;
      next_straggler_ = straggler_after(next_straggler_);
    }
  }

  // The next failure has come. False when it hit a node that the job does without.
  bool strike() {
    const std::size_t kind = next_kind();
    clocks_[kind].advance();
    const std::int64_t idle = job_.nodes - held_;
    if (idle > 0 && draw(key_, kIdleStream, idle_drawn_++) * static_cast<double>(job_.nodes) <
                        static_cast<double>(idle)) {
      return false;
    }
    ++tally_.failures[kind];
    detection_ = job_.parts[kind].detection.value_or(job_.detection);
    const std::int64_t out = std::min(job_.parts[kind].nodes_lost, held_);
    held_ -= out;
    for (std::int64_t i = 0; i < out && job_.parts[kind].repair < kNever; ++i) {
      repairs_.push_back((now_ + job_.parts[kind].repair).value);
      std::push_heap(repairs_.begin(), repairs_.end(), std::greater<>());
    }
    return true;
  }

  // Lets time pass without work. False when a failure or the end of the run comes first.
  bool spend(Seconds time, Loss loss) {
    const Seconds end = now_ + time;
    for (;;) {
      const Seconds failure = next_failure();
      const Seconds stop = std::min({end, failure, limit_});
      lost(loss) += stop - now_;
      now_ = stop;
      if (stop == limit_) {
        is_over_ = true;
        return false;
      }
      if (stop == end) {
        return true;
      }
      if (strike()) {
        return false;
      }
    }
  }

  // A checkpoint on its way may have arrived.
  void settle() {
    if (writing_ && writing_->safe_at <= now_) {
      safe_ = writing_->work;
      writing_.reset();
    }
  }

  bool finish_writing() {
    const bool is_safe =
        !writing_ || spend(std::max(Seconds(0), writing_->safe_at - now_), Loss::checkpoints);
    settle();
    return is_safe;
  }

  // One that is still on its way is waited for.
  void checkpoint() {
    if (!finish_writing()) {
      recover();
      return;
    }
    const Seconds start = now_;
    if (!spend(job_.checkpointing.stall, Loss::checkpoints)) {
      recover();
      return;
    }
    writing_ = Writing{done_, start + job_.checkpointing.write};
    settle();
    mark_ = done_;
    grow();
  }

  void collect_repairs() {
    while (!repairs_.empty() && repairs_.front() <= now_.value) {
      std::pop_heap(repairs_.begin(), repairs_.end(), std::greater<>());
      repairs_.pop_back();
      ++spares_;
    }
  }

  std::int64_t units_missing(std::int64_t nodes) const {
    return (job_.nodes - nodes + job_.shrink_unit - 1) / job_.shrink_unit;
  }

  void grow() {
    collect_repairs();
    if (units_missing(std::min(job_.nodes, held_ + spares_)) >= dropped_) {
      return;
    }
    if (!(finish_writing() && find_nodes() && spend(job_.restart, Loss::restart))) {
      recover();
    }
  }

  // Spares, or fewer units, or waiting. False when that was struck.
  bool find_nodes() {
    for (;;) {
      collect_repairs();
      if (const std::int64_t taken = std::min(spares_, job_.nodes - held_); taken > 0) {
        spares_ -= taken;
        held_ += taken;
        if (!spend(job_.swap, Loss::replacement)) {
          return false;
        }
      }
      const std::int64_t missing = units_missing(held_);
      if (missing <= static_cast<std::int64_t>(job_.shrunk_rates.size())) {
        dropped_ = missing;
        return true;
      }
      const Seconds back = repairs_.empty() ? kNever : Seconds(repairs_.front());
      if (!spend(std::max(Seconds(0), back - now_), Loss::replacement)) {
        return false;
      }
    }
  }

  // After a failure, or for nothing at the end of the run.
  void recover() {
    if (is_over_) {
      return;
    }
    settle();
    writing_.reset();
    lost(Loss::recomputed) += done_ - safe_;
    done_ = safe_;
    mark_ = safe_;
    bool is_running = false;
    while (!is_running && !is_over_) {
      is_running =
          spend(detection_, Loss::detection) && find_nodes() && spend(job_.restart, Loss::restart);
    }
  }

  void maintain() {
    if (!finish_writing() || !spend(job_.checkpointing.write, Loss::checkpoints)) {
      recover();
      return;
    }
    safe_ = done_;
    mark_ = done_;
    ++tally_.planned;
    const Seconds pause = std::min(job_.maintenance.duration, limit_ - now_);
    now_ += pause;
    lost(Loss::maintenance) += pause;
    while (next_failure() <= now_) {  // mended on the way
      clocks_[next_kind()].advance();
    }
    while (next_maintenance_ <= now_) {
      next_maintenance_ += job_.maintenance.interval;
    }
    if (!spend(job_.restart, Loss::maintenance)) {
      recover();
    }
  }

  const Job& job_;
  RunKey key_;
  std::vector<FailureClock> clocks_;  // by Job::parts
  Tally tally_;
  Seconds limit_;
  bool is_over_ = false;
  Seconds detection_;  // of the last failure

  Seconds now_;
  Seconds done_;  // work
  Seconds safe_;  // of it, in a checkpoint
  Seconds mark_;  // work at which the last checkpoint began
  std::optional<Writing> writing_;

  std::int64_t held_;  // nodes of the job that are whole
  std::int64_t spares_ = 0;
  std::int64_t dropped_ = 0;     // units
  std::vector<double> repairs_;  // a heap of times at which a node comes back, the earliest on top

  Seconds straggling_until_;
  Seconds next_straggler_ = kNever;
  Seconds next_maintenance_ = kNever;
  std::uint64_t stragglers_drawn_ = 0;
  std::uint64_t idle_drawn_ = 0;
};

}  // namespace

std::string_view name_of(Loss loss) {
  switch (loss) {
    case Loss::detection:
      return "detection";
    case Loss::replacement:
      return "replacing nodes";
    case Loss::restart:
      return "restart";
    case Loss::recomputed:
      return "recomputed work";
    case Loss::checkpoints:
      return "checkpoint stalls";
    case Loss::maintenance:
      return "planned maintenance";
    case Loss::shrunk:
      return "shrunk";
    case Loss::stragglers:
      return "stragglers";
  }
  return "";
}

std::int64_t Tally::num_failures() const {
  return std::accumulate(failures.begin(), failures.end(), std::int64_t{0});
}

Tally live(const Job& job, const RunKey& key) { return Life(job, key).run(); }

}  // namespace foretrain::goodput
