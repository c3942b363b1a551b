// Does every instant of a step belong to the right cause? Expected parts are derived by hand.
// SPDX-License-Identifier: Apache-2.0
#include "sim/report/breakdown.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/hand_times.hpp"
#include "tests/support/program_maker.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
TEST_CASE("kernels and delays are booked by phase", "[report]") {
  ProgramMaker maker(1);
  maker.op(0, Delay{1_ms}, Phase::forward).op(0, Delay{2_ms}, Phase::backward);
  maker.op(0, Delay{3_ms}, Phase::recompute).op(0, Delay{4_ms}, Phase::optimizer);
  maker.op(0, Delay{5_ms}, Phase::host);
  const Timeline timeline = play(maker.program(), FakeCosts(1, 1_GBps));
  const Breakdown parts = breakdown(maker.program(), timeline, Rank(0));
  CHECK(parts.compute.count == 3 * kMillisecond);
  CHECK(parts.recompute.count == 3 * kMillisecond);
  CHECK(parts.optimizer.count == 4 * kMillisecond);
  CHECK(parts.host.count == 5 * kMillisecond);
  CHECK(parts.bubble.count == 0);
  CHECK(parts.total() == parts.step);
}

TEST_CASE("waiting for a member is bubble, the transfer itself is exposed", "[report]") {
  ProgramMaker maker(2);
  maker.op(1, Delay{2_ms});
  for (std::size_t rank = 0; rank < 2; ++rank) {
    maker.op(rank, Collective{CollectiveKind::all_reduce, 0, 1_MB});
  }
  const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
  // Rank 0 waits 2 ms for rank 1; 1 MB at 1 GB/s takes 1 ms.
  const Breakdown early = breakdown(maker.program(), timeline, Rank(0));
  CHECK(early.bubble.count == 2 * kMillisecond);
  CHECK(early.exposed.at("data").count == 1 * kMillisecond);
  const Breakdown late = breakdown(maker.program(), timeline, Rank(1));
  CHECK(late.bubble.count == 0);
  CHECK(late.compute.count == 2 * kMillisecond);
  CHECK(late.exposed.at("data").count == 1 * kMillisecond);
}

TEST_CASE("only the part of a transfer that compute waits for is exposed", "[report]") {
  ProgramMaker maker(2);
  const EventId ready = maker.event(0);
  const EventId reduced = maker.event(0);
  maker.op(0, Delay{1_ms}).op(0, Record{ready}).op(0, Delay{3_ms}).op(0, Wait{reduced});
  maker.op(0, Wait{ready}, Phase::forward, 1);
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 5_MB}, Phase::forward, 1);
  maker.op(0, Record{reduced}, Phase::forward, 1);
  maker.op(1, Delay{2_ms}).op(1, Collective{CollectiveKind::all_reduce, 0, 5_MB});
  const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
  // The reduction runs from 2 ms (rank 1) to 7 ms; rank 0 computes until 4 ms and waits for 3 ms.
  const Breakdown parts = breakdown(maker.program(), timeline, Rank(0));
  CHECK(parts.compute.count == 4 * kMillisecond);
  CHECK(parts.exposed.at("data").count == 3 * kMillisecond);
  CHECK(parts.bubble.count == 0);
  CHECK(parts.total() == parts.step);
}

TEST_CASE("a receive waits for its sender as bubble and for its bytes as pipeline", "[report]") {
  ProgramMaker maker(2);
  const EventId there = maker.event(1);
  maker.op(0, Delay{4_ms}).op(0, Send{1, 0, 2_MB});
  maker.op(1, Recv{0, 0, 2_MB}, Phase::forward, 1).op(1, Record{there}, Phase::forward, 1);
  maker.op(1, Wait{there}).op(1, Delay{1_ms});
  const Timeline timeline = play(maker.program(), FakeCosts(2, 1_GBps));
  // Until 4 ms nothing is sent; 2 MB take 2 ms; then 1 ms of compute. Rank 0 idles in the last.
  const Breakdown receiver = breakdown(maker.program(), timeline, Rank(1));
  CHECK(receiver.bubble.count == 4 * kMillisecond);
  CHECK(receiver.exposed.at("pipeline").count == 2 * kMillisecond);
  CHECK(receiver.compute.count == 1 * kMillisecond);
  const Breakdown sender = breakdown(maker.program(), timeline, Rank(0));
  CHECK(sender.compute.count == 4 * kMillisecond);
  CHECK(sender.exposed.at("pipeline").count == 2 * kMillisecond);
  CHECK(sender.bubble.count == 1 * kMillisecond);
}

TEST_CASE("the mean over ranks still adds up to the step", "[report]") {
  ProgramMaker maker(3);
  maker.op(0, Delay{Seconds(10e-12)}).op(1, Delay{Seconds(5e-12)});
  const Timeline timeline = play(maker.program(), FakeCosts(3, 1_GBps));
  // Busy 10 + 5 + 0 of 3 x 10 ps: 5 ps of compute and 5 of bubble.
  const Breakdown even = mean_breakdown(maker.program(), timeline);
  CHECK(even.compute.count == 5);
  CHECK(even.bubble.count == 5);
  maker.op(2, Delay{Seconds(1e-12)});
  // 16 of 30 ps: 5 1/3 and 4 2/3; the bubble's remainder is the larger.
  const Breakdown uneven =
      mean_breakdown(maker.program(), play(maker.program(), FakeCosts(3, 1_GBps)));
  CHECK(uneven.compute.count == 5);
  CHECK(uneven.bubble.count == 5);
  CHECK(uneven.total() == uneven.step);
}

TEST_CASE("a rank of weight n counts as n ranks with its timeline", "[report]") {
  ProgramMaker twins(3);
  twins.op(0, Delay{Seconds(11e-12)}).op(1, Delay{Seconds(5e-12)}).op(2, Delay{Seconds(5e-12)});
  const Timeline timeline = play(twins.program(), FakeCosts(3, 1_GBps));
  const Breakdown all = mean_breakdown(twins.program(), timeline);
  const Breakdown weighted =
      mean_breakdown(twins.program(), timeline, {{Rank(0), 1}, {Rank(2), 2}});
  // Busy 11 + 5 + 5 of 3 x 11 ps.
  CHECK(weighted.compute.count == 7);
  CHECK(weighted.bubble.count == 4);
  CHECK(weighted.compute == all.compute);
  CHECK(weighted.bubble == all.bubble);
}

}  // namespace foretrain::testing
