// An actor is a stream: it runs its ops in order, as a CUDA stream does. Streams meet in three
// places: events within a rank, collectives within a group, and sends with their receives.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/engine.hpp"

#include <algorithm>
#include <deque>
#include <exception>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "sim/core/error.hpp"
#include "sim/engine/costs.hpp"
#include "sim/engine/world.hpp"

namespace foretrain {
namespace {

/// An event of one rank: over at the time of the stream that recorded it, which may be ahead of the
/// world's; streams that came too early wait.
struct Event {
  std::optional<Seconds> time;
  std::vector<ActorId> waiting;
};

/// The members of a group that have come to their next collective.
struct Meeting {
  std::vector<ActorId> waiting;
  Seconds ready;  // when the last one came
};

/// One direction between two ranks: a side that comes first waits here for the other.
struct Postbox {
  std::deque<ActorId> waiting;
  bool senders_wait = false;
  Seconds ready;
};

class Player {
 public:
  Player(const Program& program, const CostModel& costs, const Progress& progress)
      : program_(program),
        table_(program, costs),
        world_(table_.links().network, table_.links().routes),
        progress_(progress),
        meetings_(program.groups.size()) {}

  Timeline play() {
    spawn_streams();
    world_.run();
    if (failure_) {
      std::rethrow_exception(failure_);
    }
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      const Body& body = program_.body_of(Rank(rank));
      for (std::size_t s = 0; s < body.streams.size(); ++s) {
        FORETRAIN_ASSERT(timeline_.ranks[rank][s].size() == body.streams[s].ops.size(),
                         "rank " + std::to_string(rank) + " stream " + body.streams[s].name +
                             " is stuck at op " + std::to_string(timeline_.ranks[rank][s].size()));
      }
    }
    timeline_.activities = world_.num_activities();
    return std::move(timeline_);
  }

 private:
  class StreamActor;

  void spawn_streams();

  const Program& program_;
  CostTable table_;
  World world_;
  const Progress& progress_;
  std::vector<Meeting> meetings_;
  std::vector<std::vector<Event>> events_;  // by rank
  std::map<std::tuple<Rank, Rank, std::uint32_t>, Postbox> postboxes_;
  Timeline timeline_;
  std::exception_ptr failure_;  // the first; SimGrid would abort on it
};

/// Runs the ops of one stream. Kernels, delays and collectives that meet nobody are one sleep where
/// they follow one another: nothing can observe the time between them.
class Player::StreamActor {
 public:
  StreamActor(Player& player, Rank rank, std::size_t stream)
      : player_(player),
        world_(player.world_),
        rank_(rank),
        stream_(stream),
        binding_(player.program_.ranks[rank.index()]),
        ops_(player.program_.body_of(rank).streams[stream].ops),
        spans_(player.timeline_.ranks[rank.index()][stream]) {}

  void set_id(ActorId id) { id_ = id; }

  void run() {
    try {
      run_ops();
    } catch (const std::exception&) {
      if (!player_.failure_) {
        player_.failure_ = std::current_exception();
      }
    }
  }

 private:
  void run_ops() {
    spans_.reserve(ops_.size());
    for (const Op& op : ops_) {
      std::visit([this](const auto& action) { play(action); }, op.action);
      ++player_.timeline_.events;
    }
    flush();
    // The ends of ops are sums of their own and may be later than the clock by a rounding error.
    const Seconds last = spans_.empty() ? Seconds(0) : spans_.back().end;
    player_.timeline_.end = std::max({player_.timeline_.end, world_.now(), last});
  }

  void play(const Kernels& kernels) {
    const double factor = player_.table_.kernel_factor(rank_, stream_, spans_.size());
    busy(
        std::max(kernels.launches, player_.table_.kernels(kernels.list, binding_.device) * factor));
  }
  void play(const Delay& delay) { busy(delay.duration); }
  void play(const Alloc&) { busy(Seconds(0)); }
  void play(const Free&) { busy(Seconds(0)); }

  void play(const Record& record) {
    Event& event = this->event(record.event);
    event.time = now();
    for (const ActorId waiter : event.waiting) {
      world_.resume(waiter);
    }
    event.waiting.clear();
    busy(Seconds(0));
  }

  // Streams of a rank that only meet in events run ahead of the world, each at a time of its own.
  void play(const Wait& wait) {
    const Seconds start = now();
    Event& event = this->event(wait.event);
    if (!event.time) {
      event.waiting.push_back(id_);
      world_.suspend();
    }
    const Seconds end = std::max(start, *event.time);
    pending_ = end - world_.now();
    book(start, end, end);
  }

  void play(const Collective& collective) {
    const GroupId group = binding_.communicators[collective.communicator];
    const RoutedCollective& how = player_.table_.collective(group, collective);
    if (how.alone) {
      busy(*how.alone);
      return;
    }
    flush();
    const Seconds start = world_.now();
    Meeting& meeting = player_.meetings_[group.index()];
    if (meeting.waiting.size() + 1 < player_.program_.groups[group.index()].members.size()) {
      meeting.waiting.push_back(id_);
      world_.suspend();
    } else {
      meeting.ready = start;
      carry_out(how.schedule);
      for (const ActorId member : std::exchange(meeting.waiting, {})) {
        world_.resume(member);
      }
    }
    book(start, meeting.ready, world_.now());
  }

  void play(const Send& send) {
    const Rank peer = binding_.peers[send.peer];
    meet(player_.postboxes_[{rank_, peer, send.channel}], true,
         player_.table_.message(rank_, peer, send.channel, send.payload));
  }
  void play(const Recv& recv) {
    const Rank peer = binding_.peers[recv.peer];
    meet(player_.postboxes_[{peer, rank_, recv.channel}], false,
         player_.table_.message(peer, rank_, recv.channel, recv.payload));
  }

  // The side that comes second carries the message and wakes the first.
  void meet(Postbox& box, bool is_sender, const RoutedSchedule& schedule) {
    flush();
    const Seconds start = world_.now();
    if (box.waiting.empty() || box.senders_wait == is_sender) {
      box.senders_wait = is_sender;
      box.waiting.push_back(id_);
      world_.suspend();
    } else {
      const ActorId partner = box.waiting.front();
      box.waiting.pop_front();
      box.ready = start;
      carry_out(schedule);
      world_.resume(partner);
    }
    book(start, box.ready, world_.now());
  }

  void carry_out(const RoutedSchedule& schedule) {
    for (const RoutedPhase& phase : schedule) {
      world_.sleep(phase.latency);
      world_.transfer(phase.transfers);
    }
  }

  // A sleep may end a rounding error before the sum of what it was made of; a stream's time never
  // runs backwards.
  void book(Seconds start, Seconds ready, Seconds end) {
    const Seconds begin = std::max(start, booked_);
    const Seconds from = std::max(ready, begin);
    booked_ = std::max(end, from);
    spans_.push_back({begin, from, booked_});
  }

  /// The time of this stream: the world's, and what it has not yet slept of what it did.
  Seconds now() const { return world_.now() + pending_; }

  // Adds time that nobody can observe until flush().
  void busy(Seconds duration) {
    const Seconds start = now();
    pending_ += duration;
    book(start, start, now());
  }
  void flush() {
    world_.sleep(std::exchange(pending_, Seconds(0)));
    if (player_.progress_) {
      player_.progress_(world_.now());
    }
  }

  Event& event(EventId id) { return player_.events_[rank_.index()][id.index()]; }

  Player& player_;
  World& world_;
  Rank rank_;
  std::size_t stream_;
  const RankBinding& binding_;
  const std::vector<Op>& ops_;
  std::vector<Span>& spans_;
  ActorId id_;
  Seconds pending_{0};
  Seconds booked_{0};  // where the last span ends
};

void Player::spawn_streams() {
  events_.resize(program_.ranks.size());
  timeline_.ranks.resize(program_.ranks.size());
  for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
    const Body& body = program_.body_of(Rank(rank));
    events_[rank].resize(body.num_events);
    timeline_.ranks[rank].resize(body.streams.size());
    for (std::size_t stream = 0; stream < body.streams.size(); ++stream) {
      auto actor = std::make_shared<StreamActor>(*this, Rank(rank), stream);
      actor->set_id(world_.spawn("rank " + std::to_string(rank) + " " + body.streams[stream].name,
                                 [actor] { actor->run(); }));
    }
  }
}

}  // namespace

Timeline play(const Program& program, const CostModel& costs, const Progress& progress) {
  return Player(program, costs, progress).play();
}

}  // namespace foretrain
