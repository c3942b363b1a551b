// Which collectives meet nobody, and that the fluid model would say the same of them.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/lone_collectives.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;
using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

constexpr Collective kReduce{CollectiveKind::all_reduce, 0, 2_MB};

/// Rank 0 has group 1 to itself in slot 0; its collectives cross its own two links.
ProgramMaker alone_in_group(std::size_t num_ranks) {
  ProgramMaker maker(num_ranks);
  maker.program().ranks[0].communicators = {maker.group({Rank(0)}), GroupId(0)};
  return maker;
}

double end_of_stream(const Timeline& timeline, std::size_t rank, std::size_t stream = 0) {
  return timeline.ranks[rank][stream].back().end.value;
}

}  // namespace

TEST_CASE("collectives of one stream happen in turn", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, kReduce).op(0, kReduce);
  CHECK(happen_in_turn(maker.program().bodies[0], {0}));
}

TEST_CASE("collectives of two streams happen in turn only where events say so", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, kReduce);
  maker.op(0, kReduce, Phase::forward, 1);
  CHECK_FALSE(happen_in_turn(maker.program().bodies[0], {0}));
  CHECK(happen_in_turn(maker.program().bodies[0], {1}));  // none at all

  ProgramMaker ordered(1);
  const EventId first = ordered.event(0);
  const EventId second = ordered.event(0);
  ordered.op(0, kReduce).op(0, Record{first}).op(0, Wait{second}).op(0, kReduce);
  ordered.op(0, Wait{first}, Phase::forward, 1).op(0, kReduce, Phase::forward, 1);
  ordered.op(0, Record{second}, Phase::forward, 1);
  CHECK(happen_in_turn(ordered.program().bodies[0], {0}));
}

TEST_CASE("a collective that does not wait for the other stream's is not in turn", "[engine]") {
  ProgramMaker maker(1);
  const EventId started = maker.event(0);
  maker.op(0, Record{started}).op(0, kReduce);
  maker.op(0, Wait{started}, Phase::forward, 1).op(0, kReduce, Phase::forward, 1);
  CHECK_FALSE(happen_in_turn(maker.program().bodies[0], {0}));
}

TEST_CASE("a lone collective costs no activity and takes its latency and its transfer",
          "[engine]") {
  // 2 MB at 1 GB/s after 10 us.
  ProgramMaker maker = alone_in_group(1);
  maker.op(0, Kernels{maker.kernels(5)}).op(0, kReduce).op(0, Delay{1_ms});
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps, 10_us));
  CHECK(timeline.activities == 1);
  CHECK_THAT(timeline.ranks[0][0][1].start.value, WithinRel(5e-6, 1e-9));
  CHECK_THAT(timeline.ranks[0][0][1].end.value, WithinRel(5e-6 + 10e-6 + 2e-3, 1e-9));
  CHECK_THAT(end_of_stream(timeline, 0), WithinRel(5e-6 + 10e-6 + 3e-3, 1e-9));
}

TEST_CASE("the slowest link bounds a lone collective", "[engine]") {
  ProgramMaker maker = alone_in_group(1);
  maker.op(0, kReduce);
  FakeCosts costs(1, 1_GBps);
  costs.way_out(DeviceId(0)).capacity = 0.25_GBps;
  CHECK_THAT(end_of_stream(play(maker.program(), costs), 0), WithinRel(8e-3, 1e-9));
}

TEST_CASE("two collectives that share links are not alone", "[engine]") {
  // The same 2 MB on two streams at once, over the same links: 4 ms.
  ProgramMaker maker = alone_in_group(1);
  maker.program().ranks[0].communicators.push_back(maker.group({Rank(0)}));
  maker.op(0, kReduce);
  maker.op(0, Collective{CollectiveKind::all_reduce, 2, 2_MB}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  CHECK_THAT(end_of_stream(timeline, 0), WithinRel(4e-3, 1e-9));
  CHECK_THAT(end_of_stream(timeline, 0, 1), WithinRel(4e-3, 1e-9));
}

TEST_CASE("a collective whose links another rank's messages cross is not alone", "[engine]") {
  // Rank 1 sends 2 MB to rank 2 across its own way out and rank 2's way in; rank 2's collective has
  // both of its ways, and shares the one in: 4 ms for both.
  ProgramMaker maker(3);
  maker.program().ranks[2].communicators = {maker.group({Rank(2)})};
  maker.op(1, Send{2, 0, 2_MB});
  maker.op(2, Recv{1, 0, 2_MB}, Phase::forward, 1);
  maker.op(2, kReduce);
  const Timeline timeline = play(maker.program(), FakeCosts(3, 1_GBps));
  CHECK_THAT(end_of_stream(timeline, 2), WithinRel(4e-3, 1e-9));
  CHECK_THAT(end_of_stream(timeline, 1), WithinRel(4e-3, 1e-9));
}

TEST_CASE("a collective of all that its rank takes part in later does not disturb it", "[engine]") {
  // Rank 0 alone, 2 ms; then all, 2 MB once over everybody's links: 2 ms more.
  ProgramMaker maker = alone_in_group(2);
  maker.op(0, kReduce).op(0, Collective{CollectiveKind::all_reduce, 1, 2_MB});
  maker.op(1, kReduce);
  const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
  CHECK_THAT(end_of_stream(timeline, 0), WithinRel(4e-3, 1e-9));
  CHECK_THAT(timeline.ranks[0][0][0].end.value, WithinRel(2e-3, 1e-9));
  CHECK(timeline.activities == 2);  // the sleep of rank 0 and the transfer of both
}

TEST_CASE("an unused slot does not make a rank part of a group", "[engine]") {
  // Rank 0's second slot holds group 0, which it is no member of and never uses; group 0 crosses
  // rank 0's links all the same, as another job's ring may: 2 MB each share them, 4 ms.
  class SharedCosts : public FakeCosts {
   public:
    using FakeCosts::FakeCosts;
    [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                          const std::vector<DeviceId>&) const override {
      return FakeCosts::collective(kind, payload, {DeviceId(0)});
    }
  };
  ProgramMaker maker = alone_in_group(2);
  maker.program().groups[0].members = {Rank(1)};
  maker.op(0, kReduce);
  maker.op(1, kReduce);
  const Timeline timeline = play(maker.program(), SharedCosts(2, 1_GBps));
  CHECK_THAT(end_of_stream(timeline, 0), WithinRel(4e-3, 1e-9));
  CHECK_THAT(end_of_stream(timeline, 1), WithinRel(4e-3, 1e-9));
}

}  // namespace foretrain::testing
