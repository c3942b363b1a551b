// Is time as the max-min fair fluid model says? Expected times are derived in the comments.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/engine.hpp"

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/hand_times.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;
using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

double end_of(const Timeline& timeline, std::size_t rank, std::size_t op, std::size_t stream = 0) {
  return timeline.ranks[rank][stream][op].end.value;
}

}  // namespace

TEST_CASE("kernels of one stream run back to back", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, Kernels{maker.kernels(3)}).op(0, Delay{5_us}).op(0, Kernels{maker.kernels(2)});
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  // 3 kernels of 1 us, 5 us of nothing, 2 kernels.
  CHECK_THAT(end_of(timeline, 0, 0), WithinRel(3e-6, kTolerance));
  CHECK_THAT(timeline.ranks[0][0][1].start.value, WithinRel(3e-6, kTolerance));
  CHECK_THAT(timeline.end.value, WithinRel(10e-6, kTolerance));
  CHECK(timeline.activities == 1);  // nobody can tell the three apart
  CHECK(timeline.events == 3);
}

TEST_CASE("a collective starts when its last member has come and ends for all at once",
          "[engine]") {
  ProgramMaker maker(3);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    maker.op(rank, Delay{Seconds(1e-3 * static_cast<double>(rank))});
    maker.op(rank, Collective{CollectiveKind::all_reduce, 0, 1_MB});
  }
  const Timeline timeline = play(maker.program(), FakeCosts(3, 1_GBps, 10_us));
  // Rank 2 comes at 2 ms; 10 us of latency; 1 MB at 1 GB/s is 1 ms.
  for (std::size_t rank = 0; rank < 3; ++rank) {
    CHECK_THAT(timeline.ranks[rank][0][1].ready.value, WithinRel(2e-3, kTolerance));
    CHECK_THAT(end_of(timeline, rank, 1), WithinRel(3.01e-3, kTolerance));
  }
}

TEST_CASE("two flows over one link share it, and the longer has it to itself in the end",
          "[engine]") {
  ProgramMaker maker(3);
  maker.op(0, Send{1, 0, 1_MB}).op(0, Send{2, 0, 3_MB}, Phase::forward, 1);
  maker.op(1, Recv{0, 0, 1_MB});
  maker.op(2, Recv{0, 0, 3_MB});
  const Timeline timeline = play(maker.program(), FakeCosts(3, 1_GBps));
  // Both leave through "out 0" at 0.5 GB/s: 1 MB is there after 2 ms, when the other has 2 MB to go
  // at 1 GB/s: 4 ms.
  CHECK_THAT(end_of(timeline, 1, 0), WithinRel(2e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 2, 0), WithinRel(4e-3, kTolerance));
}

TEST_CASE("max-min sharing gives what a bottleneck elsewhere leaves over", "[engine]") {
  ProgramMaker maker(4);
  // Flows A: 0 -> 2, B: 0 -> 3, C: 1 -> 3, all of 1 MB; "out 1" is ten times slower.
  maker.op(0, Send{2, 0, 1_MB}).op(0, Send{3, 0, 1_MB}, Phase::forward, 1);
  maker.op(1, Send{3, 1, 1_MB});
  maker.op(2, Recv{0, 0, 1_MB});
  maker.op(3, Recv{0, 0, 1_MB}).op(3, Recv{1, 1, 1_MB}, Phase::forward, 1);
  FakeCosts costs(4, 1_GBps);
  costs.way_out(DeviceId(1)).capacity = BytesPerSecond(0.1e9);
  const Timeline timeline = play(maker.program(), costs);
  // A + B = 1 on "out 0"; C <= 0.1; B + C <= 1 on "in 3": max-min is A = B = 0.5, C = 0.1.
  CHECK_THAT(end_of(timeline, 2, 0), WithinRel(2e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 3, 0), WithinRel(2e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 3, 0, 1), WithinRel(10e-3, kTolerance));
}

/// One flow that crosses a link twice beside one that crosses it once.
class TwiceCosts : public FakeCosts {
 public:
  TwiceCosts() : FakeCosts(4, 1_GBps) {}
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from, DeviceId) const override {
    std::vector<LinkId> links(from == DeviceId(0) ? 2 : 1, LinkId(0));
    return {{FlowPhase{Seconds(0), {Flow{payload, links, BytesPerSecond(0)}}}}};
  }
};

TEST_CASE("a link that a flow names twice is used twofold", "[engine]") {
  ProgramMaker maker(4);
  maker.op(0, Send{2, 0, 1_MB}).op(2, Recv{0, 0, 1_MB});
  maker.op(1, Send{3, 0, 1_MB}).op(3, Recv{1, 0, 1_MB});
  const Timeline timeline = play(maker.program(), TwiceCosts());
  // Rates r and r with 2 r + r = 1 GB/s: a third each, 3 ms for both.
  CHECK_THAT(end_of(timeline, 2, 0), WithinRel(3e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 3, 0), WithinRel(3e-3, kTolerance));
}

/// A message that cannot use all of its link.
class LimitedCosts : public FakeCosts {
 public:
  LimitedCosts() : FakeCosts(2, 1_GBps) {}
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId, DeviceId) const override {
    return {{FlowPhase{1_us, {Flow{payload, {LinkId(0)}, BytesPerSecond(0.25e9)}}}}};
  }
};

TEST_CASE("a rate limit holds on an idle link", "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Send{1, 0, 1_MB}).op(1, Recv{0, 0, 1_MB});
  // 1 us and 1 MB at a quarter of a GB/s.
  CHECK_THAT(play(maker.program(), LimitedCosts()).end.value, WithinRel(4.001e-3, kTolerance));
}

TEST_CASE("a stream waits for an event of another stream, and not if it comes late", "[engine]") {
  ProgramMaker maker(1);
  const EventId early = maker.event(0);
  const EventId late = maker.event(0);
  maker.op(0, Delay{1_ms}).op(0, Record{early}).op(0, Wait{late}).op(0, Wait{early});
  maker.op(0, Wait{early}, Phase::forward, 1).op(0, Delay{3_ms}, Phase::forward, 1);
  maker.op(0, Record{late}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  CHECK_THAT(end_of(timeline, 0, 0, 1), WithinRel(1e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 2), WithinRel(4e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 3), WithinRel(4e-3, kTolerance));  // long recorded
}

TEST_CASE("a run of kernels takes its kernels' time or its launches', whichever is longer",
          "[engine]") {
  ProgramMaker maker(1);  // FakeCosts: 1 us each
  maker.op(0, Kernels{maker.kernels(5), Seconds(2e-6)});
  maker.op(0, Kernels{maker.kernels(5), Seconds(20e-6)});
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  CHECK_THAT(end_of(timeline, 0, 0), WithinRel(5e-6, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 1), WithinRel(25e-6, kTolerance));
}

TEST_CASE("kernels of two streams of a rank share its GPU, which does as much work as ever",
          "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, Kernels{maker.kernels(4)});
  maker.op(0, Delay{1_us}, Phase::forward, 1).op(0, Kernels{maker.kernels(2)}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  // Alone for 1 us; then half each: 2 us of work take 4; 4 - 1 - 2 us are left.
  CHECK_THAT(end_of(timeline, 0, 1, 1), WithinRel(5e-6, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 0), WithinRel(6e-6, kTolerance));
}

TEST_CASE("launches do not keep the GPU from the kernels of another stream", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, Kernels{maker.kernels(2), 10_us});
  maker.op(0, Kernels{maker.kernels(4)}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  // 2 us of work at half the speed until 4 us, then the other 2 us at full speed.
  CHECK_THAT(end_of(timeline, 0, 0, 1), WithinRel(6e-6, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 0), WithinRel(10e-6, kTolerance));
}

TEST_CASE("kernels that share a GPU are slowed by communication as well", "[engine]") {
  ProgramMaker maker(2);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    maker.op(rank, Kernels{maker.kernels(4)});
    maker.op(rank, Kernels{maker.kernels(4)}, Phase::forward, 1);
    maker.op(rank, Collective{CollectiveKind::all_reduce, 0, 8000_B}, Phase::forward, 2);
  }
  FakeCosts costs(2, 1_GBps);
  costs.set_compute_share(0.5);
  // 8 kB take 8 us, in which half of 8 us of work is done; the rest takes 4 us.
  const Timeline timeline = play(maker.program(), costs);
  CHECK_THAT(end_of(timeline, 0, 0, 2), WithinRel(8e-6, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 0, 0), WithinRel(12e-6, kTolerance));
  CHECK_THAT(end_of(timeline, 1, 0, 1), WithinRel(12e-6, kTolerance));
}

TEST_CASE("a GPU is never done before the sum of its kernels, however they are spread",
          "[engine]") {
  for (const std::size_t streams : {1U, 2U, 3U, 5U}) {
    ProgramMaker maker(2);  // the other rank shares nothing
    maker.op(1, Kernels{maker.kernels(7)});
    for (std::size_t i = 0; i < 30; ++i) {
      maker.op(0, Kernels{maker.kernels(1 + i % 4)}, Phase::forward, i % streams);
    }
    const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
    const double work = 1e-6 * (10 * 7 + 1 + 2);  // 1 to 4 kernels in turn
    CHECK_THAT(timeline.end.value, WithinRel(work, kTolerance));
    CHECK_THAT(end_of(timeline, 1, 0), WithinRel(7e-6, kTolerance));
  }
}

TEST_CASE("the k-th send meets the k-th receive of its channel", "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Send{1, 0, 1_MB}).op(0, Send{1, 0, 2_MB});
  maker.op(1, Delay{5_ms}).op(1, Recv{0, 0, 1_MB}).op(1, Delay{5_ms}).op(1, Recv{0, 0, 2_MB});
  const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
  // Receiver at 5 ms, 1 ms of transfer; receiver again at 11 ms, 2 ms.
  CHECK_THAT(end_of(timeline, 0, 0), WithinRel(6e-3, kTolerance));
  CHECK_THAT(timeline.ranks[0][0][1].ready.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(end_of(timeline, 0, 1), WithinRel(13e-3, kTolerance));
}

TEST_CASE("programs can be played one after the other in one process, each from time zero",
          "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Send{1, 0, 1_MB}).op(1, Recv{0, 0, 1_MB});
  for (int i = 0; i < 3; ++i) {
    CHECK_THAT(play(maker.program(), FakeCosts(2, 1_GBps)).end.value, WithinRel(1e-3, kTolerance));
  }
}

TEST_CASE("a program that hangs is reported as our fault and does not hang", "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Recv{1, 0, 1_MB});
  CHECK_THROWS_AS(play(maker.program(), FakeCosts(2, 1_GBps)), InternalError);
}

}  // namespace foretrain::testing
