// SPDX-License-Identifier: Apache-2.0
#include "sim/report/memory_curve.hpp"

#include <algorithm>

#include "sim/report/breakdown.hpp"

namespace foretrain {
namespace {

struct Change {
  Seconds time;
  MemoryClass memory = MemoryClass::activations;
  Bytes bytes;  // negative for a free
};

std::vector<Change> changes_of(const Body& body, const std::vector<std::vector<Span>>& spans) {
  std::vector<Change> changes;
  for (std::size_t s = 0; s < body.streams.size(); ++s) {
    for (std::size_t i = 0; i < body.streams[s].ops.size(); ++i) {
      const Action& action = body.streams[s].ops[i].action;
      if (const auto* alloc = std::get_if<Alloc>(&action)) {
        changes.push_back({spans[s][i].end, alloc->memory, alloc->bytes});
      } else if (const auto* free = std::get_if<Free>(&action)) {
        changes.push_back({spans[s][i].end, free->memory, Bytes(0) - free->bytes});
      }
    }
  }
  // To the picosecond: where a stream waited for another, their clocks may differ by a rounding
  // error, and what was freed before the event must not count as held after it.
  std::stable_sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
    return to_picoseconds(a.time) < to_picoseconds(b.time);
  });
  return changes;
}

Bytes comes_and_goes(const MemoryPoint& point) {
  Bytes sum;
  for (const MemoryClass memory :
       {MemoryClass::activations, MemoryClass::logits, MemoryClass::buffers}) {
    sum += point.held[static_cast<std::size_t>(memory)];
  }
  return sum;
}

// A caching allocator keeps what it once needed, in pieces that do not all fit the next tensor.
void add_slack(double share, std::vector<MemoryPoint>& curve) {
  Bytes most;
  for (const MemoryPoint& point : curve) {
    most = std::max(most, comes_and_goes(point));
  }
  for (MemoryPoint& point : curve) {
    point.held[static_cast<std::size_t>(MemoryClass::slack)] += share * most;
  }
}

}  // namespace

Bytes MemoryPoint::total() const {
  Bytes sum;
  for (const Bytes bytes : held) {
    sum += bytes;
  }
  return sum;
}

std::vector<MemoryPoint> memory_curve(const Program& program, const Timeline& timeline, Rank rank) {
  const Body& body = program.body_of(rank);
  MemoryPoint now{};
  for (const Resident& resident : body.resident) {
    now.held[static_cast<std::size_t>(resident.memory)] += resident.bytes;
  }
  std::vector<MemoryPoint> curve = {now};
  for (const Change& change : changes_of(body, timeline.ranks[rank.index()])) {
    now.time = change.time;
    now.held[static_cast<std::size_t>(change.memory)] += change.bytes;
    curve.push_back(now);
  }
  add_slack(body.allocator_slack, curve);
  return curve;
}

MemoryPoint memory_peak(const std::vector<MemoryPoint>& curve) {
  return *std::max_element(
      curve.begin(), curve.end(),
      [](const MemoryPoint& a, const MemoryPoint& b) { return a.total() < b.total(); });
}

std::string_view name_of(MemoryClass memory) {
  switch (memory) {
    case MemoryClass::parameters:
      return "parameters";
    case MemoryClass::gradients:
      return "gradients";
    case MemoryClass::optimizer:
      return "optimizer";
    case MemoryClass::activations:
      return "activations";
    case MemoryClass::buffers:
      return "buffers";
    case MemoryClass::logits:
      return "logits";
    case MemoryClass::context:
      return "context";
    case MemoryClass::communicators:
      return "NCCL";
    case MemoryClass::slack:
      return "slack";
  }
  return "";
}

}  // namespace foretrain
