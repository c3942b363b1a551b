// Hand-made programs and networks: which ranks are told apart, and the times of those that are not.
// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/lump.hpp"

#include <numeric>

#include "tests/sim/lump/compare.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/hand_times.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;
using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

/// A program whose ranks all have the body of rank 0.
class EqualRanks {
 public:
  explicit EqualRanks(std::size_t num_ranks) : maker_(num_ranks) {
    for (RankBinding& binding : maker_.program().ranks) {
      binding.body = BodyId(0);
    }
    maker_.program().bodies.resize(1);
  }
  EqualRanks& op(const Action& action, std::size_t stream = 0) {
    maker_.op(0, action, Phase::forward, stream);
    return *this;
  }
  /// Every rank's slot 0 holds its group; members are given by number.
  void groups(const std::vector<std::vector<std::size_t>>& groups) {
    for (const std::vector<std::size_t>& numbers : groups) {
      std::vector<Rank> members;
      for (const std::size_t number : numbers) {
        members.push_back(Rank(number));
      }
      const GroupId id = maker_.group(members);
      for (const Rank member : members) {
        program().ranks[member.index()].communicators = {id};
      }
    }
  }
  /// Every rank's peers are its neighbours in one ring of all: slot 0 the next, slot 1 the last.
  void ring() {
    const std::size_t size = program().ranks.size();
    for (std::size_t rank = 0; rank < size; ++rank) {
      program().ranks[rank].peers = {Rank((rank + 1) % size), Rank((rank + size - 1) % size)};
    }
  }
  EventId event() { return maker_.event(0); }
  KernelListId kernels(std::size_t count) { return maker_.kernels(count); }
  Program& program() { return maker_.program(); }

 private:
  ProgramMaker maker_;
};

/// As FakeCosts, and every message and collective crosses one spine besides.
class SpineCosts : public FakeCosts {
 public:
  SpineCosts(std::size_t num_devices, BytesPerSecond rate, BytesPerSecond spine)
      : FakeCosts(num_devices, rate), network_(FakeCosts::network()) {
    network_.links.push_back({"spine", spine});
  }
  void limit_way_out(DeviceId device, BytesPerSecond rate) {
    network_.links[2 * device.index()].capacity = rate;
  }
  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override {
    return across(FakeCosts::collective(kind, payload, devices));
  }
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override {
    return across(FakeCosts::point_to_point(payload, from, to));
  }

 private:
  [[nodiscard]] FlowSchedule across(FlowSchedule schedule) const {
    schedule.phases[0].flows[0].links.push_back(LinkId(network_.links.size() - 1));
    return schedule;
  }
  Network network_;
};

std::vector<std::size_t> simulated(const Both& both) {
  std::vector<std::size_t> ranks;
  for (const Rank rank : both.lumped.simulated) {
    ranks.push_back(rank.index());
  }
  return ranks;
}

double end_of(const Both& both, std::size_t rank) {
  return both.quotient.ranks[both.lumped.simulated[rank].index()][0].back().end.value;
}

}  // namespace

TEST_CASE("equal ranks of equal groups are one rank", "[lump]") {
  EqualRanks ranks(8);
  ranks.groups({{0, 1, 2, 3}, {4, 5, 6, 7}});
  ranks.op(Kernels{ranks.kernels(2)}).op(Collective{CollectiveKind::all_reduce, 0, 3_MB});
  const Both both = play_both(ranks.program(), FakeCosts(8, 1_GBps));
  CHECK(both.num_simulated() == 1);
  CHECK(both.lumped.num_ranks == std::vector<std::size_t>{8});
  CHECK(both.lumped.program.groups.size() == 1);
  CHECK(both.lumped.costs->network().links.size() == 1);  // a way out is like a way in
  CHECK_THAT(end_of(both, 5), WithinRel(2e-6 + 3e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("one slower link tells the group that crosses it from the others", "[lump]") {
  EqualRanks ranks(6);
  ranks.groups({{0, 1}, {2, 3}, {4, 5}});
  ranks.op(Collective{CollectiveKind::all_reduce, 0, 3_MB});
  FakeCosts costs(6, 1_GBps);
  costs.way_out(DeviceId(3)).capacity = 0.5_GBps;
  const Both both = play_both(ranks.program(), costs);
  CHECK(simulated(both) == std::vector<std::size_t>{0, 0, 1, 1, 0, 0});
  CHECK_THAT(end_of(both, 4), WithinRel(3e-3, kTolerance));
  CHECK_THAT(end_of(both, 2), WithinRel(6e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("groups of unlike sizes are told apart", "[lump]") {
  EqualRanks ranks(5);
  ranks.groups({{0, 1}, {2, 3, 4}});
  ranks.op(Collective{CollectiveKind::all_gather, 0, 1_MB});
  const Both both = play_both(ranks.program(), FakeCosts(5, 1_GBps));
  CHECK(simulated(both) == std::vector<std::size_t>{0, 0, 1, 1, 1});
  CHECK(both.lumped.num_ranks == std::vector<std::size_t>{2, 3});
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("a slower device is told apart from its group, and its group from the others", "[lump]") {
  EqualRanks ranks(6);
  ranks.groups({{0, 1, 2}, {3, 4, 5}});
  ranks.op(Kernels{ranks.kernels(4)}).op(Collective{CollectiveKind::all_reduce, 0, 1_MB});
  FakeCosts costs(6, 1_GBps);
  costs.set_kind(DeviceId(1), 2);  // 3 us a kernel
  const Both both = play_both(ranks.program(), costs);
  CHECK(simulated(both) == std::vector<std::size_t>{0, 1, 0, 2, 2, 2});
  CHECK_THAT(end_of(both, 0), WithinRel(12e-6 + 1e-3, kTolerance));
  CHECK_THAT(end_of(both, 3), WithinRel(4e-6 + 1e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("a device that was moved to where a group does not expect it splits what it must",
          "[lump]") {
  // Two groups of two; the devices of ranks 1 and 3 share their ways with nobody, but rank 3 sits
  // behind a slower way in.
  EqualRanks ranks(4);
  ranks.groups({{0, 1}, {2, 3}});
  ranks.op(Collective{CollectiveKind::all_reduce, 0, 1_MB});
  std::swap(ranks.program().ranks[1].device, ranks.program().ranks[3].device);
  FakeCosts costs(4, 1_GBps);
  costs.way_out(DeviceId(3)).capacity = 0.25_GBps;
  const Both both = play_both(ranks.program(), costs);
  CHECK(simulated(both) == std::vector<std::size_t>{0, 0, 1, 1});
  CHECK_THAT(end_of(both, 0), WithinRel(4e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("in a ring of equals one rank sends to itself, both ways round", "[lump]") {
  // Both directions use channel 0, but are messages of different pairs: 2 MB go to the next, 1 MB
  // to the last, at once, each over ways of its own half of the time: out and in carry both.
  EqualRanks ranks(6);
  ranks.ring();
  ranks.op(Send{0, 0, 2_MB}, 0).op(Recv{1, 0, 2_MB}, 1);
  ranks.op(Send{1, 0, 1_MB}, 2).op(Recv{0, 0, 1_MB}, 3);
  const Both both = play_both(ranks.program(), FakeCosts(6, 1_GBps));
  CHECK(both.num_simulated() == 1);
  // 1 MB at half the rate ends after 2 ms; of the 2 MB, half is left then, at the whole rate.
  CHECK_THAT(both.quotient.ranks[0][3][0].end.value, WithinRel(2e-3, kTolerance));
  CHECK_THAT(both.quotient.ranks[0][1][0].end.value, WithinRel(3e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("the ranks of a ring with one slow link are as far from it as they were", "[lump]") {
  // Each rank hands on what it got before: with a slow way out of rank 2, everybody is late by
  // another amount.
  EqualRanks ranks(4);
  ranks.ring();
  for (int round = 0; round < 3; ++round) {
    const EventId got = ranks.event();
    ranks.op(Send{0, 0, 1_MB}, 0).op(Recv{1, 0, 1_MB}, 1).op(Record{got}, 1).op(Wait{got}, 0);
  }
  FakeCosts costs(4, 1_GBps);
  costs.way_out(DeviceId(2)).capacity = 0.5_GBps;
  const Both both = play_both(ranks.program(), costs);
  CHECK(both.num_simulated() == 4);
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("flows of one class share a link as all of them did", "[lump]") {
  // Eight messages round a ring cross a spine of 1 GB/s: an eighth each.
  EqualRanks ranks(8);
  ranks.ring();
  ranks.op(Send{0, 0, 1_MB}, 0).op(Recv{1, 0, 1_MB}, 1);
  const Both both = play_both(ranks.program(), SpineCosts(8, 1_GBps, 1_GBps));
  CHECK(both.num_simulated() == 1);
  CHECK_THAT(end_of(both, 0), WithinRel(8e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("classes of unlike sizes share a link by their numbers", "[lump]") {
  // Two groups of three and three of two reduce 1 MB each across a spine of 1 GB/s: a fifth each,
  // until all end at 5 ms. Then the pairs' ways out are slower: 0.1 GB/s, 10 ms; the others get the
  // rest of the spine, (1 - 3 x 0.1) / 2.
  EqualRanks ranks(12);
  ranks.groups({{0, 1, 2}, {3, 4, 5}, {6, 7}, {8, 9}, {10, 11}});
  ranks.op(Collective{CollectiveKind::all_reduce, 0, 1_MB});
  SpineCosts even(12, 1_GBps, 1_GBps);
  const Both equal = play_both(ranks.program(), even);
  CHECK(equal.num_simulated() == 2);
  CHECK_THAT(end_of(equal, 0), WithinRel(5e-3, kTolerance));
  CHECK(largest_difference(equal) < kTolerance);
  SpineCosts uneven(12, 1_GBps, 1_GBps);
  for (std::size_t device = 6; device < 12; ++device) {
    uneven.limit_way_out(DeviceId(device), 0.1_GBps);
  }
  const Both unlike = play_both(ranks.program(), uneven);
  CHECK(unlike.num_simulated() == 2);
  CHECK_THAT(end_of(unlike, 0), WithinRel(1e-3 / 0.35, kTolerance));
  CHECK_THAT(end_of(unlike, 6), WithinRel(10e-3, kTolerance));
  CHECK(largest_difference(unlike) < kTolerance);
}

TEST_CASE("rows and columns of a grid meet apart, though their groups look alike", "[lump]") {
  // A 3 x 3 grid: slot 0 holds a rank's row, slot 1 its column; a stream reduces over each.
  EqualRanks ranks(9);
  Program& program = ranks.program();
  ranks.groups({{0, 1, 2}, {3, 4, 5}, {6, 7, 8}});
  std::vector<GroupId> rows;
  for (const RankBinding& binding : program.ranks) {
    rows.push_back(binding.communicators[0]);
  }
  ranks.groups({{0, 3, 6}, {1, 4, 7}, {2, 5, 8}});
  for (std::size_t rank = 0; rank < 9; ++rank) {
    program.ranks[rank].communicators.insert(program.ranks[rank].communicators.begin(), rows[rank]);
  }
  ranks.op(Delay{1_ms}, 0).op(Collective{CollectiveKind::all_reduce, 0, 1_MB}, 0);
  ranks.op(Delay{5_ms}, 1).op(Collective{CollectiveKind::all_reduce, 1, 1_MB}, 1);
  const Both both = play_both(program, FakeCosts(9, 1_GBps));
  CHECK(both.num_simulated() == 1);
  CHECK(both.lumped.program.groups.size() == 2);
  CHECK_THAT(end_of(both, 0), WithinRel(2e-3, kTolerance));
  CHECK_THAT(both.quotient.ranks[0][1].back().end.value, WithinRel(6e-3, kTolerance));
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("ranks with bodies of their own are simulated one by one", "[lump]") {
  ProgramMaker maker(5);
  for (std::size_t rank = 0; rank < 5; ++rank) {
    maker.op(rank, Delay{Seconds(1e-3 * static_cast<double>(rank))});
    maker.op(rank, Collective{CollectiveKind::all_reduce, 0, 1_MB});
  }
  const Both both = play_both(maker.program(), FakeCosts(5, 1_GBps));
  std::vector<std::size_t> each(5);
  std::iota(each.begin(), each.end(), std::size_t{0});
  CHECK(simulated(both) == each);
  CHECK(largest_difference(both) < kTolerance);
}

TEST_CASE("devices are unlike unless their platform says that they are alike", "[lump]") {
  EqualRanks ranks(3);
  ranks.op(Delay{1_ms});
  class Cautious : public FakeCosts {
   public:
    using FakeCosts::FakeCosts;
    [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
      return CostModel::device_kind(device);
    }
  };
  CHECK(lump(ranks.program(), Cautious(3, 1_GBps)).originals.size() == 3);
  CHECK(lump(ranks.program(), FakeCosts(3, 1_GBps)).originals.size() == 1);
}

}  // namespace foretrain::testing
