// Do kernels slow down while communications of their rank are in flight, and only then? Expected
// times are derived in the comments.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/compute_speed.hpp"

#include "sim/engine/engine.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/hand_times.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;
using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

/// 1 GB/s, so a message of 1 MB takes 1 ms; kernels of 1 us, so a thousand of them as well.
FakeCosts costs_with(double share, Seconds latency = Seconds(0)) {
  FakeCosts costs(4, 1_GBps, latency);
  costs.set_compute_share(share);
  return costs;
}

const Span& span(const Timeline& timeline, std::size_t rank, std::size_t stream, std::size_t op) {
  return timeline.ranks[rank][stream][op];
}

/// Rank 0 computes for 10 ms; a message of `size` leaves it after `delay`.
ProgramMaker computing_and_sending(Seconds delay, Bytes size) {
  ProgramMaker maker(2);
  maker.op(0, Kernels{maker.kernels(10'000)});
  maker.op(0, Delay{delay}, Phase::forward, 1).op(0, Send{1, 0, size}, Phase::forward, 1);
  maker.op(1, Recv{0, 0, size});
  return maker;
}

}  // namespace

TEST_CASE("a kernel does less while a communication takes a share of its GPU", "[engine]") {
  ProgramMaker maker = computing_and_sending(0_s, 4_MB);
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  // 4 ms at 0.75 are 3 ms of work, then 7 ms.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 1, 1).end.value, WithinRel(4e-3, kTolerance));
}

TEST_CASE("a kernel is slowed from when a communication begins, latency included", "[engine]") {
  ProgramMaker maker = computing_and_sending(3_ms, 3_MB);
  const Timeline timeline = play(maker.program(), costs_with(0.25, 1_ms));
  // 3 ms, then 4 ms at 0.75 (1 ms of latency and 3 of transfer), then the remaining 4 ms.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(11e-3, kTolerance));
}

TEST_CASE("a communication that outlasts a kernel slows all of what is left of it", "[engine]") {
  ProgramMaker maker = computing_and_sending(4_ms, 100_MB);
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  // 4 ms, then 6 ms of work at 0.75: 8 ms.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(12e-3, kTolerance));
}

TEST_CASE("two communications leave the product of what each leaves", "[engine]") {
  ProgramMaker three(3);
  three.op(0, Kernels{three.kernels(10'000)});
  three.op(0, Send{1, 0, 6_MB}, Phase::forward, 1).op(1, Recv{0, 0, 6_MB});
  three.op(0, Delay{2_ms}, Phase::forward, 2).op(0, Recv{2, 0, 2_MB}, Phase::forward, 2);
  three.op(2, Send{0, 0, 2_MB});
  const Timeline timeline = play(three.program(), costs_with(0.2));
  // Out takes 0 to 6 ms, in 2 to 4 ms, over links of their own. Work: 2 ms at 0.8, 2 ms at 0.64, 2
  // ms at 0.8 = 4.48 ms; the other 5.52 ms at full speed.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(11.52e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 2, 1).end.value, WithinRel(4e-3, kTolerance));
}

TEST_CASE("of a merged run each op is booked at the speeds that it met", "[engine]") {
  ProgramMaker maker(2);
  for (int i = 0; i < 4; ++i) {
    maker.op(0, Kernels{maker.kernels(1000)});
  }
  maker.op(0, Delay{1.5_ms}, Phase::forward, 1).op(0, Send{1, 0, 1.25_MB}, Phase::forward, 1);
  maker.op(1, Recv{0, 0, 1.25_MB});
  const Timeline timeline = play(maker.program(), costs_with(0.2));
  // Slow from 1.5 to 2.75 ms, where 1 ms of work is done. Ends: 1; 1.5 + 0.5 / 0.8 = 2.125; the
  // third has 0.5 ms done at 2.75 ms: 3.25; 4.25.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(1e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 1).end.value, WithinRel(2.125e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 2).start.value, WithinRel(2.125e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 2).end.value, WithinRel(3.25e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 3).end.value, WithinRel(4.25e-3, kTolerance));
  // One execution, one sleep, one transfer.
  CHECK(timeline.activities == 3);
}

TEST_CASE("delays and launches are not slowed, and kernels of several streams share the GPU",
          "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Delay{2_ms}).op(0, Kernels{maker.kernels(10), 1_ms});
  maker.op(0, Send{1, 0, 8_MB}, Phase::forward, 1).op(1, Recv{0, 0, 8_MB});
  for (const std::size_t stream : {std::size_t{2}, std::size_t{3}}) {
    maker.op(0, Kernels{maker.kernels(3000)}, Phase::forward, stream);
  }
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(2e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 1).end.value, WithinRel(3e-3, kTolerance));
  // 2 x 3 ms and 0.01 ms of work, all at 0.75 of the GPU's rate while the message is on its way.
  CHECK_THAT(span(timeline, 0, 2, 0).end.value, WithinRel(6.01e-3 / 0.75, 1e-2));
  CHECK_THAT(span(timeline, 0, 3, 0).end.value,
             WithinRel(span(timeline, 0, 2, 0).end.value, kTolerance));
}

TEST_CASE("kernels that launches hide show where a communication slows them enough", "[engine]") {
  ProgramMaker maker(2);
  // 0.9 ms of work, launched in 1 ms, all of it at 0.75: 1.2 ms.
  maker.op(0, Kernels{maker.kernels(900), 1_ms}).op(0, Kernels{maker.kernels(900), 1_ms});
  maker.op(0, Send{1, 0, 1.2_MB}, Phase::forward, 1).op(1, Recv{0, 0, 1.2_MB});
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(1.2e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 0, 1).end.value, WithinRel(2.2e-3, kTolerance));
}

TEST_CASE("only members of a communication are slowed", "[engine]") {
  ProgramMaker maker(3);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    maker.op(rank, Kernels{maker.kernels(10'000)});
  }
  maker.op(0, Send{1, 0, 4_MB}, Phase::forward, 1).op(1, Recv{0, 0, 4_MB}, Phase::forward, 1);
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(span(timeline, 1, 0, 0).end.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(span(timeline, 2, 0, 0).end.value, WithinRel(10e-3, kTolerance));
}

TEST_CASE("a rank that waits for a collective is not slowed until the last member has come",
          "[engine]") {
  ProgramMaker maker(2);
  maker.op(0, Kernels{maker.kernels(10'000)});
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 4_MB}, Phase::forward, 1);
  maker.op(1, Delay{5_ms}).op(1, Collective{CollectiveKind::all_reduce, 0, 4_MB});
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  // 5 ms, then 4 ms at 0.75, then 2 ms.
  CHECK_THAT(span(timeline, 0, 0, 0).end.value, WithinRel(11e-3, kTolerance));
}

TEST_CASE("a collective that meets nobody slows its own rank, and not what is on its own stream",
          "[engine]") {
  ProgramMaker maker(1);  // a group of one, as in a lumped program
  const Collective collective{CollectiveKind::all_reduce, 0, 4_MB};
  maker.op(0, Kernels{maker.kernels(10'000)}).op(0, collective, Phase::forward, 1);
  const Timeline beside = play(maker.program(), costs_with(0.25));
  // 4 ms at 0.75, then 7 ms; nothing flows, because the time of the collective is known.
  CHECK_THAT(span(beside, 0, 0, 0).end.value, WithinRel(11e-3, kTolerance));
  CHECK(beside.activities == 2);

  ProgramMaker alone(1);
  alone.op(0, Kernels{alone.kernels(1000)}).op(0, collective).op(0, Kernels{alone.kernels(1000)});
  CHECK_THAT(play(alone.program(), costs_with(0.25)).end.value, WithinRel(6e-3, kTolerance));
}

TEST_CASE("an event that is recorded after slowed kernels tells when they were over", "[engine]") {
  ProgramMaker maker = computing_and_sending(0_s, 4_MB);
  const EventId done = maker.event(0);
  maker.op(0, Record{done}).op(0, Delay{1_ms});
  maker.op(0, Wait{done}, Phase::forward, 2).op(0, Delay{2_ms}, Phase::forward, 2);
  const Timeline timeline = play(maker.program(), costs_with(0.25));
  CHECK_THAT(span(timeline, 0, 0, 1).end.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 2, 0).end.value, WithinRel(11e-3, kTolerance));
  CHECK_THAT(span(timeline, 0, 2, 1).end.value, WithinRel(13e-3, kTolerance));
}

TEST_CASE("equal counts of communications give equal speeds to the last bit", "[engine]") {
  ComputeSpeeds speeds({0.15, 0.02}, 4, 1);
  const auto level_speed = [&](std::size_t level) { return speeds.levels()[level]; };
  const double once = level_speed(speeds.begin(Rank(0), 0.15, 1_s));
  const double both = level_speed(speeds.begin(Rank(0), 0.02, 2_s));
  CHECK(once == 0.85);
  CHECK_THAT(both, WithinRel(0.85 * 0.98, 1e-15));
  CHECK(level_speed(speeds.end(Rank(0), 0.15, 3_s)) == 0.98);
  CHECK(level_speed(speeds.begin(Rank(0), 0.15, 4_s)) == both);
  CHECK(level_speed(speeds.end(Rank(0), 0.02, 5_s)) == once);
  CHECK(level_speed(speeds.end(Rank(0), 0.15, 6_s)) == 1);
  CHECK_THAT(speeds.slowest(), WithinRel(0.85 * 0.85 * 0.85 * 0.85, 1e-15));
}

TEST_CASE("without shares nothing is executed and no speed is kept", "[engine]") {
  CHECK(ComputeSpeeds({}, 4, 8).is_constant());
  ProgramMaker maker = computing_and_sending(0_s, 4_MB);
  CHECK_THAT(play(maker.program(), costs_with(0)).end.value, WithinRel(10e-3, kTolerance));
}

}  // namespace foretrain::testing
