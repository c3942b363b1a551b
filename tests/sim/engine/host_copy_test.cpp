// What do copies to and from hosts take, whom do they meet, and where is their time booked?
// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "sim/core/error.hpp"
#include "sim/report/breakdown.hpp"
#include "sim/report/trace.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/hand_times.hpp"
#include "tests/support/host_costs.hpp"
#include "tests/support/program_maker.hpp"

using Catch::Matchers::WithinRel;
using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

Timeline play_on_hosts(const Program& program, BytesPerSecond memory_rate) {
  verify(program);
  return play(program, HostCosts(program.ranks.size(), 1_GBps, memory_rate));
}

}  // namespace

TEST_CASE("a copy to the host takes its bytes over the slower of port and memory", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, HostCopy{CopyDirection::to_host, 3_MB});
  CHECK_THAT(play_on_hosts(maker.program(), 10_GBps).end.value, WithinRel(3e-3, kTolerance));
  CHECK_THAT(play_on_hosts(maker.program(), 0.5_GBps).end.value, WithinRel(6e-3, kTolerance));
}

TEST_CASE("copies of two devices share the memory of their host and not another's", "[engine]") {
  ProgramMaker maker(4);
  for (std::size_t rank = 0; rank < 3; ++rank) {
    maker.op(rank, HostCopy{CopyDirection::to_device, 3_MB});
  }
  const Timeline timeline = play_on_hosts(maker.program(), 1_GBps);
  CHECK_THAT(timeline.ranks[0][0][0].end.value, WithinRel(6e-3, kTolerance));
  CHECK_THAT(timeline.ranks[1][0][0].end.value, WithinRel(6e-3, kTolerance));
  CHECK_THAT(timeline.ranks[2][0][0].end.value, WithinRel(3e-3, kTolerance));
}

TEST_CASE("a copy shares its device's port with a collective that nobody else takes part in",
          "[engine]") {
  // The collective alone would be timed without its links: 2 MB over one port, 2 ms. The copy of
  // 2 MB takes half of the port meanwhile.
  ProgramMaker maker(1);
  maker.op(0, Collective{CollectiveKind::all_reduce, 0, 2_MB});
  maker.op(0, HostCopy{CopyDirection::to_host, 2_MB}, Phase::forward, 1);
  CHECK_THAT(play_on_hosts(maker.program(), 10_GBps).end.value, WithinRel(4e-3, kTolerance));
}

TEST_CASE("the two directions of a port do not share", "[engine]") {
  ProgramMaker maker(1);
  maker.op(0, HostCopy{CopyDirection::to_device, 2_MB});
  maker.op(0, HostCopy{CopyDirection::to_host, 2_MB}, Phase::forward, 1);
  CHECK_THAT(play_on_hosts(maker.program(), 10_GBps).end.value, WithinRel(2e-3, kTolerance));
}

TEST_CASE("what a step waits for of copies is exposed, and the host's own work is its phase's",
          "[report]") {
  ProgramMaker maker(1);
  const EventId updated = maker.event(0);
  maker.op(0, Delay{1_ms}).op(0, Wait{updated});
  maker.op(0, HostCopy{CopyDirection::to_host, 3_MB}, Phase::backward, 1);
  maker.op(0, HostCopy{CopyDirection::inside_host, 5_MB}, Phase::optimizer, 1);
  maker.op(0, HostCopy{CopyDirection::to_device, 4_MB}, Phase::optimizer, 1);
  maker.op(0, Record{updated}, Phase::optimizer, 1);
  // 3 ms to the host, of which compute hides one; 5 MB at the memory's 1 GB/s; 4 ms back.
  const Timeline timeline = play_on_hosts(maker.program(), 1_GBps);
  const Breakdown parts = breakdown(maker.program(), timeline, Rank(0));
  CHECK(parts.compute.count == kMillisecond);
  CHECK(parts.exposed.at("host").count == 6 * kMillisecond);
  CHECK(parts.optimizer.count == 5 * kMillisecond);
  CHECK(parts.bubble.count == 0);
  CHECK(parts.total() == parts.step);
}

TEST_CASE("a trace says how much a copy moves and which way", "[report]") {
  ProgramMaker maker(1);
  maker.op(0, HostCopy{CopyDirection::to_host, 3_MB});
  const Timeline timeline = play_on_hosts(maker.program(), 1_GBps);
  std::ostringstream out;
  write_trace(out, maker.program(), timeline, {Rank(0)});
  CHECK(out.str().find(R"("bytes":3000000,"direction":"to host")") != std::string::npos);
}

TEST_CASE("a platform without hosts refuses copies, and a program copies no less than nothing",
          "[program]") {
  ProgramMaker maker(1);
  maker.op(0, HostCopy{CopyDirection::to_host, 3_MB});
  CHECK_THROWS_AS(play(maker.program(), FakeCosts(1, 1_GBps)), InternalError);
  ProgramMaker negative(1);
  negative.op(0, HostCopy{CopyDirection::to_host, Bytes(-1)});
  CHECK_THROWS_AS(verify(negative.program()), InternalError);
}

TEST_CASE("ranks that copy different amounts are told apart, others share a timeline", "[lump]") {
  ProgramMaker maker(4);
  Program& program = maker.program();
  for (std::size_t rank = 0; rank < 4; ++rank) {
    maker.op(rank, HostCopy{CopyDirection::to_host, rank == 3 ? 5_MB : 2_MB});
    if (rank < 3) {
      program.ranks[rank].body = BodyId(0);
    }
  }
  // Rank 2 shares a host with rank 3, whose copy is longer; ranks 0 and 1 are alike.
  const Both both = play_both(program, HostCosts(4, 1_GBps, 1_GBps));
  CHECK(both.num_simulated() == 3);
  CHECK(largest_difference(both) < kTolerance);
}

}  // namespace foretrain::testing
