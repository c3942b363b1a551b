// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/lone_collectives.hpp"

#include <algorithm>
#include <cmath>

namespace foretrain {
namespace {

template <class Visit>
void visit_links(const RoutedSchedule& schedule, const std::vector<Route>& routes, Visit visit) {
  for (const RoutedPhase& phase : schedule.phases) {
    for (const Transfer& transfer : phase.transfers) {
      for (const LinkId link : routes[transfer.route.index()].links) {
        visit(link);
      }
    }
  }
}

/// Plays one body without time, and knows which ops are over when another starts: those before it
/// in its stream, and all that were over when an event was recorded for which the stream waited.
class Order {
 public:
  Order(const Body& body, const std::set<std::uint32_t>& slots)
      : body_(body),
        slots_(slots),
        positions_(body.streams.size(), 0),
        over_(body.streams.size(), Clock(body.streams.size(), 0)),
        recorded_(body.num_events) {}

  bool is_in_turn() {
    bool is_going_on = true;
    while (is_going_on) {
      is_going_on = false;
      for (std::size_t stream = 0; stream < positions_.size(); ++stream) {
        while (has_next(stream) && step(stream)) {
          ++positions_[stream];
          over_[stream][stream] = positions_[stream];
          is_going_on = true;
        }
      }
    }
    return in_turn_;
  }

 private:
  using Clock = std::vector<std::size_t>;  // by stream: how many of its ops are over

  [[nodiscard]] bool has_next(std::size_t stream) const {
    return in_turn_ && positions_[stream] < body_.streams[stream].ops.size();
  }

  // False when the stream has to wait.
  bool step(std::size_t stream) {
    const Action& action = body_.streams[stream].ops[positions_[stream]].action;
    if (const auto* wait = std::get_if<Wait>(&action)) {
      const Clock& known = recorded_[wait->event.index()];
      for (std::size_t other = 0; other < known.size(); ++other) {
        over_[stream][other] = std::max(over_[stream][other], known[other]);
      }
      return !known.empty();
    }
    if (const auto* record = std::get_if<Record>(&action)) {
      recorded_[record->event.index()] = over_[stream];
    } else if (const auto* collective = std::get_if<Collective>(&action);
               collective != nullptr && slots_.contains(collective->communicator)) {
      in_turn_ = over_[stream][last_stream_] >= last_end_;
      last_stream_ = stream;
      last_end_ = positions_[stream] + 1;
    }
    return true;
  }

  const Body& body_;
  const std::set<std::uint32_t>& slots_;
  std::vector<std::size_t> positions_;  // by stream
  std::vector<Clock> over_;             // by stream
  std::vector<Clock> recorded_;         // by event; empty before
  std::size_t last_stream_ = 0;         // of the last collective on the slots,
  std::size_t last_end_ = 0;            // and how many ops of its stream end with it
  bool in_turn_ = true;
};

}  // namespace

bool happen_in_turn(const Body& body, const std::set<std::uint32_t>& slots) {
  return Order(body, slots).is_in_turn();
}

LoneCollectives::LoneCollectives(const Program& program, const Network& network,
                                 const std::vector<Route>& routes)
    : program_(program), network_(network), routes_(routes), crossings_(network.links.size()) {}

void LoneCollectives::add_collective(GroupId group, const RoutedSchedule& schedule) {
  visit_links(schedule, routes_, [&](LinkId link) {
    std::vector<GroupId>& groups = crossings_[link.index()].groups;
    if (groups.empty() || groups.back() != group) {
      groups.push_back(group);
    }
  });
}

void LoneCollectives::add_message(const RoutedSchedule& schedule) {
  visit_links(schedule, routes_,
              [&](LinkId link) { crossings_[link.index()].has_messages = true; });
}

std::optional<Seconds> LoneCollectives::time(GroupId group, const RoutedSchedule& schedule) {
  const std::vector<Rank>& members = program_.groups[group.index()].members;
  if (members.size() != 1 || schedule.phases.empty()) {
    return std::nullopt;
  }
  Seconds sum(0);
  for (const RoutedPhase& phase : schedule.phases) {
    const std::optional<Seconds> longest = transfer_time(members.front(), phase);
    if (!longest) {
      return std::nullopt;
    }
    sum += phase.latency + *longest;
  }
  return sum;
}

bool LoneCollectives::is_alone_on(LinkId link, Rank rank) {
  const Crossing& crossing = crossings_[link.index()];
  const RankBinding& binding = program_.ranks[rank.index()];
  std::set<std::uint32_t> slots;
  for (const GroupId group : crossing.groups) {
    const std::vector<Rank>& members = program_.groups[group.index()].members;
    if (std::find(members.begin(), members.end(), rank) == members.end()) {
      return false;
    }
    for (std::uint32_t slot = 0; slot < binding.communicators.size(); ++slot) {
      if (binding.communicators[slot] == group) {
        slots.insert(slot);
      }
    }
  }
  if (crossing.has_messages) {
    return false;
  }
  const auto [place, is_new] = in_turn_.try_emplace({binding.body, slots}, false);
  if (is_new) {
    place->second = happen_in_turn(program_.bodies[binding.body.index()], slots);
  }
  return place->second;
}

// A link that a route names k times carries each byte k times.
std::optional<Seconds> LoneCollectives::transfer_time(Rank rank, const RoutedPhase& phase) {
  Seconds longest(0);
  std::vector<LinkId> taken;
  for (const Transfer& transfer : phase.transfers) {
    const Route& route = routes_[transfer.route.index()];
    std::vector<LinkId> links = route.links;
    std::sort(links.begin(), links.end());
    BytesPerSecond rate = route.rate_limit;
    for (auto first = links.begin(); first != links.end();) {
      const auto last = std::upper_bound(first, links.end(), *first);
      if (!is_alone_on(*first, rank) ||
          std::find(taken.begin(), taken.end(), *first) != taken.end()) {
        return std::nullopt;
      }
      const BytesPerSecond share =
          network_.links[first->index()].capacity / static_cast<double>(last - first);
      rate = rate == BytesPerSecond(0) ? share : std::min(rate, share);
      first = last;
    }
    if (links.empty()) {
      return std::nullopt;
    }
    taken.insert(taken.end(), links.begin(), links.end());
    // SimGrid transfers whole bytes.
    longest = std::max(longest, Bytes(std::floor(transfer.bytes.value)) / rate);
  }
  return longest;
}

}  // namespace foretrain
