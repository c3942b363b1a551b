// SPDX-License-Identifier: Apache-2.0
#include "sim/report/breakdown.hpp"

#include <algorithm>
#include <cmath>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

/// Where on a rank an event is recorded.
struct RecordPlace {
  std::size_t stream = 0;
  std::size_t op = 0;
};

std::vector<RecordPlace> record_places(const Body& body) {
  std::vector<RecordPlace> places(body.num_events);
  for (std::size_t s = 0; s < body.streams.size(); ++s) {
    for (std::size_t i = 0; i < body.streams[s].ops.size(); ++i) {
      if (const auto* record = std::get_if<Record>(&body.streams[s].ops[i].action)) {
        places[record->event.index()] = {s, i};
      }
    }
  }
  return places;
}

/// Walks the compute stream of one rank and books its time.
class Accountant {
 public:
  Accountant(const Program& program, const Timeline& timeline, Rank rank)
      : program_(program),
        binding_(program.ranks[rank.index()]),
        body_(program.body_of(rank)),
        spans_(timeline.ranks[rank.index()]),
        records_(record_places(body_)) {
    result_.step = to_picoseconds(timeline.end);
  }

  Breakdown book() {
    const std::vector<Op>& ops = body_.streams.front().ops;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      book_op(ops[i], spans_.front()[i]);
    }
    result_.bubble += up_to(result_.step);  // others are still at work
    return std::move(result_);
  }

 private:
  void book_op(const Op& op, const Span& span) {
    if (const auto* wait = std::get_if<Wait>(&op.action)) {
      book_wait(records_[wait->event.index()], span);
    } else if (const std::string* axis = axis_of(op)) {
      result_.bubble += up_to(to_picoseconds(span.ready));
      result_.exposed[*axis] += up_to(to_picoseconds(span.end));
    } else {
      by_phase(op.phase) += up_to(to_picoseconds(span.end));
    }
  }

  // While compute waits for an event, the stream that records it works through its ops.
  void book_wait(RecordPlace place, const Span& wait) {
    const std::vector<Op>& ops = body_.streams[place.stream].ops;
    const std::vector<Span>& spans = spans_[place.stream];
    std::size_t first = place.op;
    while (first > 0 && spans[first - 1].end > wait.start) {
      --first;
    }
    for (std::size_t i = first; i < place.op; ++i) {
      if (const std::string* axis = axis_of(ops[i])) {
        result_.bubble += up_to(to_picoseconds(spans[i].ready));
        result_.exposed[*axis] += up_to(to_picoseconds(spans[i].end));
      } else if (const auto* other = std::get_if<Wait>(&ops[i].action)) {
        book_wait_of_other(place.stream, records_[other->event.index()], spans[i]);
      } else if (std::holds_alternative<Kernels>(ops[i].action) ||
                 std::holds_alternative<Delay>(ops[i].action) ||
                 std::holds_alternative<HostCopy>(ops[i].action)) {  // the host's own work
        result_.bubble += up_to(to_picoseconds(spans[i].ready));
        by_phase(ops[i].phase) += up_to(to_picoseconds(spans[i].end));
      }
    }
    result_.bubble += up_to(to_picoseconds(wait.end));
  }

  // The stream that compute waits for waits itself, for a third one.
  void book_wait_of_other(std::size_t stream, RecordPlace place, const Span& wait) {
    const bool is_third = place.stream != 0 && place.stream != stream;
    if (is_third && to_picoseconds(wait.end) > booked_) {
      book_wait(place, wait);
    }
  }

  // The time from where the books end until `time`, which is where they end now.
  Picoseconds up_to(Picoseconds time) {
    const Picoseconds length{std::max<std::int64_t>(0, time.count - booked_.count)};
    booked_ += length;
    return length;
  }

  Picoseconds& by_phase(Phase phase) {
    switch (phase) {
      case Phase::forward:
      case Phase::backward:
        return result_.compute;
      case Phase::recompute:
        return result_.recompute;
      case Phase::optimizer:
        return result_.optimizer;
      case Phase::host:
        return result_.host;
      case Phase::compression:
        return result_.compression;
    }
    return result_.compute;
  }

  // The parallel axis of a communication; nothing for other ops.
  const std::string* axis_of(const Op& op) const {
    if (const auto* collective = std::get_if<Collective>(&op.action)) {
      const GroupId group = binding_.communicators[collective->communicator];
      return &program_.text(program_.groups[group.index()].axis);
    }
    if (const auto* copy = std::get_if<HostCopy>(&op.action)) {
      return copy->direction == CopyDirection::inside_host ? nullptr : &host_axis_;
    }
    const bool is_message =
        std::holds_alternative<Send>(op.action) || std::holds_alternative<Recv>(op.action);
    return is_message ? &message_axis_ : nullptr;
  }

  const Program& program_;
  const RankBinding& binding_;
  const Body& body_;
  const std::vector<std::vector<Span>>& spans_;
  std::vector<RecordPlace> records_;
  const std::string message_axis_ = "pipeline";
  const std::string host_axis_ = "host";
  Picoseconds booked_;
  Breakdown result_;
};

constexpr Picoseconds operator*(std::int64_t factor, Picoseconds time) {
  return {factor * time.count};
}

/// The parts of a breakdown in a fixed order, so that they can be summed and divided alike.
std::vector<Picoseconds*> parts_of(Breakdown& breakdown) {
  std::vector<Picoseconds*> parts = {&breakdown.compute,     &breakdown.recompute,
                                     &breakdown.optimizer,   &breakdown.host,
                                     &breakdown.compression, &breakdown.bubble};
  for (auto& [axis, time] : breakdown.exposed) {
    parts.push_back(&time);
  }
  return parts;
}

}  // namespace

Picoseconds to_picoseconds(Seconds time) { return {std::llround(time.value * 1e12)}; }

Picoseconds Breakdown::total() const {
  Picoseconds sum = compute;
  for (const Picoseconds part : {recompute, optimizer, host, compression, bubble}) {
    sum += part;
  }
  for (const auto& [axis, time] : exposed) {
    sum += time;
  }
  return sum;
}

Breakdown breakdown(const Program& program, const Timeline& timeline, Rank rank) {
  return Accountant(program, timeline, rank).book();
}

Breakdown mean_breakdown(const Program& program, const Timeline& timeline) {
  std::vector<WeightedRank> ranks;
  for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
    ranks.push_back({Rank(rank), 1});
  }
  return mean_breakdown(program, timeline, ranks);
}

Breakdown mean_breakdown(const Program& program, const Timeline& timeline,
                         const std::vector<WeightedRank>& ranks) {
  Breakdown mean;
  std::int64_t num_ranks = 0;
  for (const WeightedRank& weighted : ranks) {
    const auto weight = static_cast<std::int64_t>(weighted.weight);
    const Breakdown one = breakdown(program, timeline, weighted.rank);
    num_ranks += weight;
    mean.step = one.step;
    for (const auto& [axis, time] : one.exposed) {
      mean.exposed[axis] += weight * time;
    }
    mean.compute += weight * one.compute;
    mean.recompute += weight * one.recompute;
    mean.optimizer += weight * one.optimizer;
    mean.host += weight * one.host;
    mean.compression += weight * one.compression;
    mean.bubble += weight * one.bubble;
  }
  FORETRAIN_ASSERT(num_ranks > 0, "a mean over no ranks");
  std::vector<Picoseconds*> parts = parts_of(mean);
  std::vector<std::int64_t> remainders;
  std::int64_t missing = mean.step.count;
  for (Picoseconds* part : parts) {
    remainders.push_back(part->count % num_ranks);
    part->count /= num_ranks;
    missing -= part->count;
  }
  std::vector<std::size_t> order(parts.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  std::stable_sort(order.begin(), order.end(), [&remainders](std::size_t a, std::size_t b) {
    return remainders[a] > remainders[b];
  });
  for (std::size_t i = 0; i < order.size() && missing > 0; ++i, --missing) {
    ++parts[order[i]]->count;
  }
  return mean;
}

std::vector<StepShare> overheads(const Breakdown& parts) {
  const double step = parts.step.seconds().value;
  std::vector<StepShare> shares;
  shares.reserve(parts.exposed.size() + 4);
  const auto add = [&](std::string cause, Picoseconds time) {
    shares.emplace_back(std::move(cause), time.seconds().value / step);
  };
  add("pipeline bubble", parts.bubble);
  add("optimizer", parts.optimizer);
  add("host", parts.host);
  if (parts.compression.count > 0) {
    add("compression", parts.compression);
  }
  for (const auto& [axis, time] : parts.exposed) {
    add(axis == "host" ? "copies to the host" : axis + " communication", time);
  }
  return shares;
}

StepShare largest_overhead(const Breakdown& parts) {
  StepShare largest{"recomputation", parts.recompute.seconds().value / parts.step.seconds().value};
  for (StepShare& share : overheads(parts)) {
    if (share.second > largest.second) {
      largest = std::move(share);
    }
  }
  return largest;
}

}  // namespace foretrain
