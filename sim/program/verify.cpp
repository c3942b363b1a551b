// Plays a program without time: if every stream reaches its end here, no timing can make it hang,
// because streams meet only in events, collectives and messages, whose order time does not change.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <deque>
#include <optional>
#include <tuple>
#include <utility>

#include "sim/core/error.hpp"
#include "sim/program/program.hpp"

namespace foretrain {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw InternalError("invalid program: " + what);
}
void require(bool condition, const std::string& what) {
  if (!condition) {
    refuse(what);
  }
}

struct StreamId {
  Rank rank;
  std::size_t stream = 0;
};

/// A collective that some members of a group have reached.
struct Meeting {
  std::vector<StreamId> waiting;
  CollectiveKind kind = CollectiveKind::all_reduce;
  Bytes payload;
};

/// Sides of a message channel that wait for the other.
struct Channel {
  std::deque<std::pair<StreamId, Bytes>> senders;
  std::deque<std::pair<StreamId, Bytes>> receivers;
};

class Replay {
 public:
  explicit Replay(const Program& program) : program_(program), meetings_(program.groups.size()) {
    for (std::size_t rank = 0; rank < program.ranks.size(); ++rank) {
      const Body& body = program.body_of(Rank(rank));
      next_op_.emplace_back(body.streams.size(), 0);
      recorded_.emplace_back(body.num_events, false);
      waiting_.emplace_back(body.num_events);
      held_.emplace_back();
      for (std::size_t stream = 0; stream < body.streams.size(); ++stream) {
        runnable_.push_back({Rank(rank), stream});
      }
    }
  }

  void run() {
    while (!runnable_.empty()) {
      const StreamId id = runnable_.front();
      runnable_.pop_front();
      while (has_next(id) && step(id)) {
        ++position(id);
      }
    }
    for (std::size_t rank = 0; rank < program_.ranks.size(); ++rank) {
      const Body& body = program_.body_of(Rank(rank));
      for (std::size_t stream = 0; stream < body.streams.size(); ++stream) {
        require(!has_next({Rank(rank), stream}), where({Rank(rank), stream}) + " waits for ever");
      }
      for (const Bytes left : held_[rank]) {
        require(left == Bytes(0),
                "rank " + std::to_string(rank) + " does not free what it allocated");
      }
    }
  }

 private:
  std::size_t& position(StreamId id) { return next_op_[id.rank.index()][id.stream]; }
  const Stream& stream(StreamId id) const { return program_.body_of(id.rank).streams[id.stream]; }
  bool has_next(StreamId id) { return position(id) < stream(id).ops.size(); }
  std::string where(StreamId id) {
    return "rank " + std::to_string(id.rank.value) + " stream " + stream(id).name + " op " +
           std::to_string(position(id));
  }

  // True when the op is over; false when the stream has to wait (someone will make it runnable).
  bool step(StreamId id) {
    const Op& op = stream(id).ops[position(id)];
    return std::visit([&](const auto& action) { return play(id, action); }, op.action);
  }
  void wake(StreamId id) {
    ++position(id);
    runnable_.push_back(id);
  }

  bool play(StreamId id, const Kernels& kernels) {
    require(kernels.list.index() < program_.kernel_lists.size(),
            where(id) + ": no such kernel list");
    return true;
  }
  bool play(StreamId id, const Delay& delay) {
    require(delay.duration >= Seconds(0), where(id) + ": negative delay");
    return true;
  }
  bool play(StreamId id, const HostCopy& copy) {
    require(copy.bytes >= Bytes(0), where(id) + ": copies less than nothing");
    return true;
  }
  bool play(StreamId id, const Alloc& alloc) {
    held(id, alloc.memory) += alloc.bytes;
    return true;
  }
  bool play(StreamId id, const Free& free) {
    held(id, free.memory) -= free.bytes;
    return true;
  }
  Bytes& held(StreamId id, MemoryClass memory) {
    return held_[id.rank.index()][static_cast<std::size_t>(memory)];
  }

  bool play(StreamId id, const Record& record) {
    require(record.event.index() < recorded_[id.rank.index()].size(),
            where(id) + ": no such event");
    require(!recorded_[id.rank.index()][record.event.index()],
            where(id) + ": event recorded twice");
    recorded_[id.rank.index()][record.event.index()] = true;
    for (const StreamId waiter :
         std::exchange(waiting_[id.rank.index()][record.event.index()], {})) {
      wake(waiter);
    }
    return true;
  }
  bool play(StreamId id, const Wait& wait) {
    require(wait.event.index() < recorded_[id.rank.index()].size(), where(id) + ": no such event");
    if (recorded_[id.rank.index()][wait.event.index()]) {
      return true;
    }
    waiting_[id.rank.index()][wait.event.index()].push_back(id);
    return false;
  }

  bool play(StreamId id, const Collective& collective) {
    const RankBinding& binding = program_.ranks[id.rank.index()];
    require(collective.communicator < binding.communicators.size(), where(id) + ": no such group");
    const GroupId group = binding.communicators[collective.communicator];
    Meeting& meeting = meetings_[group.index()];
    if (meeting.waiting.empty()) {
      meeting.kind = collective.kind;
      meeting.payload = collective.payload;
    }
    require(meeting.kind == collective.kind && meeting.payload == collective.payload,
            where(id) + ": another member of the group is at a different collective");
    meeting.waiting.push_back(id);
    if (meeting.waiting.size() < program_.groups[group.index()].members.size()) {
      return false;
    }
    meeting.waiting.pop_back();  // this stream goes on by itself
    for (const StreamId member : std::exchange(meeting.waiting, {})) {
      wake(member);
    }
    return true;
  }

  bool play(StreamId id, const Send& send) {
    Channel& channel = channels_[{id.rank, peer(id, send.peer), send.channel}];
    return meet(id, send.payload, channel.senders, channel.receivers);
  }
  bool play(StreamId id, const Recv& recv) {
    Channel& channel = channels_[{peer(id, recv.peer), id.rank, recv.channel}];
    return meet(id, recv.payload, channel.receivers, channel.senders);
  }
  Rank peer(StreamId id, std::uint32_t slot) {
    const RankBinding& binding = program_.ranks[id.rank.index()];
    require(slot < binding.peers.size(), where(id) + ": no such peer");
    return binding.peers[slot];
  }
  bool meet(StreamId id, Bytes payload, std::deque<std::pair<StreamId, Bytes>>& mine,
            std::deque<std::pair<StreamId, Bytes>>& others) {
    if (others.empty()) {
      mine.emplace_back(id, payload);
      return false;
    }
    require(others.front().second == payload, where(id) + ": the other side has another payload");
    wake(others.front().first);
    others.pop_front();
    return true;
  }

  const Program& program_;
  std::deque<StreamId> runnable_;
  std::vector<std::vector<std::size_t>> next_op_;
  std::vector<std::vector<bool>> recorded_;
  std::vector<std::vector<std::vector<StreamId>>> waiting_;
  std::vector<std::array<Bytes, kNumMemoryClasses>> held_;
  std::vector<Meeting> meetings_;
  std::map<std::tuple<Rank, Rank, std::uint32_t>, Channel> channels_;
};

void check_tables(const Program& program) {
  for (const RankBinding& binding : program.ranks) {
    require(binding.body.index() < program.bodies.size(), "a rank has no such body");
    require(!program.bodies[binding.body.index()].streams.empty(), "a body has no stream");
    for (const GroupId group : binding.communicators) {
      require(group.index() < program.groups.size(), "a rank has no such group");
    }
    for (const Rank peer : binding.peers) {
      require(peer.index() < program.ranks.size(), "a rank has no such peer");
    }
  }
  for (const Group& group : program.groups) {
    require(!group.members.empty(), "a group is empty");
    for (const Rank member : group.members) {
      require(member.index() < program.ranks.size(), "a group has no such member");
    }
  }
}

}  // namespace

void verify(const Program& program) {
  check_tables(program);
  Replay(program).run();
}

}  // namespace foretrain
