// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/compute_speed.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {

void WorkClock::go_to_next_change() {
  now_ = changes_[next_].since;
  speed_ = changes_[next_].speed;
  ++next_;
}

Seconds WorkClock::after(Seconds work) {
  while (next_ < changes_.size()) {
    const Seconds room = (changes_[next_].since - now_) * speed_;
    if (work <= room) {
      break;
    }
    work -= room;
    go_to_next_change();
  }
  now_ += work / speed_;
  return now_;
}

Seconds WorkClock::until(Seconds end) {
  Seconds work{0};
  while (next_ < changes_.size() && changes_[next_].since < end) {
    work += (changes_[next_].since - now_) * speed_;
    go_to_next_change();
  }
  work += (end - now_) * speed_;
  now_ = end;
  return work;
}

ComputeSpeeds::ComputeSpeeds(std::vector<double> shares, std::size_t most, std::size_t num_ranks)
    : shares_(std::move(shares)), ranks_(shares_.empty() ? 0 : num_ranks) {
  std::sort(shares_.begin(), shares_.end());
  Counts counts(shares_.size(), 0);
  add_levels(counts, 0, most);
  for (OfRank& rank : ranks_) {
    rank.counts.resize(shares_.size(), 0);
    rank.changes.push_back({Seconds(0), 1});
  }
}

// All counts whose sum is at most `left`, from none on.
void ComputeSpeeds::add_levels(Counts& counts, std::size_t share, std::size_t left) {
  if (share == shares_.size()) {
    known_.emplace(counts, levels_.size());
    levels_.push_back(speed_with(counts));
    return;
  }
  for (std::size_t count = 0; count <= left; ++count) {
    counts[share] = static_cast<std::uint32_t>(count);
    add_levels(counts, share + 1, left - count);
  }
  counts[share] = 0;
}

double ComputeSpeeds::speed_with(const Counts& counts) const {
  double speed = 1;
  for (std::size_t share = 0; share < shares_.size(); ++share) {
    for (std::uint32_t i = 0; i < counts[share]; ++i) {
      speed *= 1 - shares_[share];
    }
  }
  return speed;
}

double ComputeSpeeds::slowest() const { return *std::min_element(levels_.begin(), levels_.end()); }

std::size_t ComputeSpeeds::index_of(double share) const {
  const auto found = std::lower_bound(shares_.begin(), shares_.end(), share);
  FORETRAIN_ASSERT(found != shares_.end() && *found == share, "a share that nobody announced");
  return static_cast<std::size_t>(found - shares_.begin());
}

std::size_t ComputeSpeeds::begin(Rank rank, double share, Seconds now) {
  OfRank& of = ranks_[rank.index()];
  ++of.counts[index_of(share)];
  return change(of, now);
}

std::size_t ComputeSpeeds::end(Rank rank, double share, Seconds now) {
  OfRank& of = ranks_[rank.index()];
  --of.counts[index_of(share)];
  return change(of, now);
}

std::size_t ComputeSpeeds::change(OfRank& rank, Seconds now) {
  const auto level = known_.find(rank.counts);
  FORETRAIN_ASSERT(level != known_.end(), "more communications in flight than a rank has streams");
  if (rank.watchers == 0) {
    rank.changes.clear();
  }
  rank.changes.push_back({now, levels_[level->second]});
  return level->second;
}

std::size_t ComputeSpeeds::watch(Rank rank) {
  OfRank& of = ranks_[rank.index()];
  ++of.watchers;
  return of.changes.size() - 1;
}

}  // namespace foretrain
