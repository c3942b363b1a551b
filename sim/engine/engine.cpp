// SPDX-License-Identifier: Apache-2.0
//
// An actor is a stream: it runs its ops in order, as a CUDA stream does. Streams meet in three
// places: events within a rank, collectives within a group, and sends with their receives.
//
// Where communications take a share of the hardware that computes, or several streams of a rank
// have kernels, each rank has a host of its own that executes its kernels. The host's speed falls
// while the rank has communications in flight, from when the last member has come until the last
// byte has; kernels of several streams that are in flight share it evenly, so that the GPU does as
// much work as ever. Launches and delays are the host's time and are not slowed.
#include "sim/engine/engine.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <exception>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "sim/core/error.hpp"
#include "sim/engine/compute_speed.hpp"
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

std::size_t most_streams(const Program& program) {
  std::size_t most = 0;
  for (const Body& body : program.bodies) {
    most = std::max(most, body.streams.size());
  }
  return most;
}

std::vector<bool> computing_streams(const Body& body) {
  std::vector<bool> computing;
  computing.reserve(body.streams.size());
  for (const Stream& stream : body.streams) {
    computing.push_back(std::any_of(stream.ops.begin(), stream.ops.end(), [](const Op& op) {
      return std::holds_alternative<Kernels>(op.action);
    }));
  }
  return computing;
}

// Whether several streams have kernels.
bool shares_gpu(const Body& body) {
  const std::vector<bool> computing = computing_streams(body);
  return std::count(computing.begin(), computing.end(), true) > 1;
}

class Player {
 public:
  // Each communication that a rank takes part in keeps one of its streams.
  Player(const Program& program, const CostModel& costs, const Progress& progress)
      : program_(program),
        table_(program, costs),
        speeds_({table_.compute_shares().begin(), table_.compute_shares().end()},
                most_streams(program), program.ranks.size()),
        world_(table_.links().network, table_.links().routes, hosts()),
        progress_(progress),
        meetings_(program.groups.size()) {
    computing_.reserve(program.bodies.size());
    for (const Body& body : program.bodies) {
      computing_.push_back(computing_streams(body));
    }
  }

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
  [[nodiscard]] Hosts hosts() const {
    const bool is_needed =
        !speeds_.is_constant() || std::any_of(program_.bodies.begin(), program_.bodies.end(),
                                              [](const Body& body) { return shares_gpu(body); });
    return is_needed ? Hosts{program_.ranks.size(), speeds_.levels()} : Hosts{};
  }

  // Whether a stream's communications may slow kernels: those of other streams of its rank.
  [[nodiscard]] bool has_kernels_beside(Rank rank, std::size_t stream) const {
    const std::vector<bool>& computing = computing_[program_.ranks[rank.index()].body.index()];
    return static_cast<std::size_t>(std::count(computing.begin(), computing.end(), true)) >
           (computing[stream] ? 1U : 0U);
  }

  // A communication of these ranks begins or ends.
  void slow_down(std::span<const Rank> ranks, double share) {
    for (const Rank rank : ranks) {
      world_.set_speed(rank.index(), speeds_.begin(rank, share, world_.now()));
    }
  }
  void speed_up(std::span<const Rank> ranks, double share) {
    for (const Rank rank : ranks) {
      world_.set_speed(rank.index(), speeds_.end(rank, share, world_.now()));
    }
  }

  const Program& program_;
  CostTable table_;
  ComputeSpeeds speeds_;
  World world_;
  const Progress& progress_;
  std::vector<std::vector<bool>> computing_;  // by body and stream: whether it has kernels
  std::vector<Meeting> meetings_;
  std::vector<std::vector<Event>> events_;  // by rank
  std::map<std::tuple<Rank, Rank, std::uint32_t>, Postbox> postboxes_;
  Timeline timeline_;
  std::exception_ptr failure_;  // the first; SimGrid would abort on it
};

/// Runs the ops of one stream. Kernels, delays and collectives that meet nobody are one sleep where
/// they follow one another, and kernels whose speed may change one execution: nothing can observe
/// the time between them.
class Player::StreamActor {
 public:
  StreamActor(Player& player, Rank rank, std::size_t stream)
      : player_(player),
        world_(player.world_),
        rank_(rank),
        stream_(stream),
        has_kernels_beside_(player.has_kernels_beside(rank, stream)),
        shares_gpu_(shares_gpu(player.program_.body_of(rank))),
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
    for (op_ = 0; op_ < ops_.size(); ++op_) {
      std::visit([this](const auto& action) { play(action); }, ops_[op_].action);
      ++player_.timeline_.events;
    }
    flush();
    // The ends of ops are sums of their own and may be later than the clock by a rounding error.
    const Seconds last = spans_.empty() ? Seconds(0) : spans_.back().end;
    player_.timeline_.end = std::max({player_.timeline_.end, world_.now(), last});
  }

  void play(const Kernels& kernels) {
    const Seconds work = player_.table_.kernels(kernels.list, binding_.device) *
                         player_.table_.kernel_factor(rank_, stream_, op_);
    const ComputeSpeeds& speeds = player_.speeds_;
    if (shares_gpu_) {
      compute_beside(kernels.launches, work);
    } else if (speeds.is_constant() || work <= kernels.launches * speeds.slowest()) {
      busy(std::max(kernels.launches, work));
    } else if (work >= kernels.launches) {
      compute(work);
    } else {
      compute_while_launching(kernels.launches, work);
    }
  }
  void play(const Delay& delay) { busy(delay.duration); }
  void play(const Alloc&) { busy(Seconds(0)); }
  void play(const Free&) { busy(Seconds(0)); }

  void play(const Record& record) {
    execute_run();
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
    execute_run();
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
    if (how.alone && (how.schedule.compute_share == 0 || !has_kernels_beside_)) {
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
      carry_out(how.schedule, how.alone, player_.program_.groups[group.index()].members);
      for (const ActorId member : std::exchange(meeting.waiting, {})) {
        world_.resume(member);
      }
    }
    book(start, meeting.ready, world_.now());
  }

  void play(const Send& send) {
    const Rank peer = binding_.peers[send.peer];
    meet(player_.postboxes_[{rank_, peer, send.channel}], peer, true,
         player_.table_.message(rank_, peer, send.channel, send.payload));
  }
  void play(const Recv& recv) {
    const Rank peer = binding_.peers[recv.peer];
    meet(player_.postboxes_[{peer, rank_, recv.channel}], peer, false,
         player_.table_.message(peer, rank_, recv.channel, recv.payload));
  }

  void play(const HostCopy& copy) {
    flush();
    const Seconds start = world_.now();
    carry_out(player_.table_.host_copy(rank_, copy), std::nullopt, std::array{rank_});
    book(start, start, world_.now());
  }

  // The side that comes second carries the message and wakes the first.
  void meet(Postbox& box, Rank peer, bool is_sender, const RoutedSchedule& schedule) {
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
      carry_out(schedule, std::nullopt, std::array{rank_, peer});
      world_.resume(partner);
    }
    book(start, box.ready, world_.now());
  }

  void carry_out(const RoutedSchedule& schedule, const std::optional<Seconds>& alone,
                 std::span<const Rank> members) {
    const double share = schedule.compute_share;
    if (share > 0) {
      player_.slow_down(members, share);
    }
    if (alone) {
      world_.sleep(*alone);
    } else {
      for (const RoutedPhase& phase : schedule.phases) {
        world_.sleep(phase.latency);
        world_.transfer(phase.transfers);
      }
    }
    if (share > 0) {
      player_.speed_up(members, share);
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
  /// REQUIRES: it has executed its work.
  Seconds now() const { return world_.now() + pending_; }

  // Adds work that nobody can observe until flush().
  void compute(Seconds work) {
    sleep_pending();
    run_.push_back(work);
  }

  // Executes the work that has gathered, and books each op by what the speed was meanwhile.
  void execute_run() {
    if (run_.empty()) {
      return;
    }
    const Seconds start = world_.now();
    const std::size_t watched = player_.speeds_.watch(rank_);
    world_.execute(rank_.index(), std::accumulate(run_.begin(), run_.end(), Seconds(0)));
    WorkClock clock(player_.speeds_.changes(rank_), watched, start);
    Seconds begin = start;
    for (const Seconds work : run_) {
      const Seconds end = clock.after(work);
      book(begin, begin, end);
      begin = end;
    }
    player_.speeds_.unwatch(rank_);
    run_.clear();
  }

  // Kernels that end before the host has launched the last, unless they are slowed: the work may
  // outlast the launches then.
  void compute_while_launching(Seconds launches, Seconds work) {
    flush();
    const Seconds start = world_.now();
    const std::size_t watched = player_.speeds_.watch(rank_);
    world_.sleep(launches);
    WorkClock clock(player_.speeds_.changes(rank_), watched, start);
    const Seconds done = clock.until(world_.now());
    player_.speeds_.unwatch(rank_);
    if (done < work) {
      world_.execute(rank_.index(), work - done);
    }
    book(start, start, world_.now());
  }

  // Kernels beside those of other streams: how fast they are changes whenever one of those begins
  // or ends, so each run is executed on its own.
  void compute_beside(Seconds launches, Seconds work) {
    flush();
    const Seconds start = world_.now();
    world_.execute(rank_.index(), work, launches);
    book(start, start, world_.now());
  }

  // Adds time that nobody can observe until flush().
  void busy(Seconds duration) {
    if (!run_.empty() && duration == Seconds(0)) {
      run_.push_back(duration);
      return;
    }
    execute_run();
    const Seconds start = now();
    pending_ += duration;
    book(start, start, now());
  }
  void sleep_pending() { world_.sleep(std::exchange(pending_, Seconds(0))); }
  void flush() {
    execute_run();
    sleep_pending();
    if (player_.progress_) {
      player_.progress_(world_.now());
    }
  }

  Event& event(EventId id) { return player_.events_[rank_.index()][id.index()]; }

  Player& player_;
  World& world_;
  Rank rank_;
  std::size_t stream_;
  bool has_kernels_beside_;
  bool shares_gpu_;
  const RankBinding& binding_;
  const std::vector<Op>& ops_;
  std::vector<Span>& spans_;
  ActorId id_;
  std::size_t op_ = 0;
  Seconds pending_{0};
  std::vector<Seconds> run_;  // work that is not executed yet, by op; none while pending_ is not 0
  Seconds booked_{0};         // where the last span ends
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
