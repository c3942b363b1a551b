// Messages between two devices.
// SPDX-License-Identifier: Apache-2.0
#include "sim/core/error.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

double message_time(const Machine& machine, std::size_t from, std::size_t to) {
  ProgramMaker maker(machine.num_devices());
  maker.op(from, Send{static_cast<std::uint32_t>(to), 0, 1_MB});
  maker.op(to, Recv{static_cast<std::uint32_t>(from), 0, 1_MB});
  return play(maker.program(), CollectiveCosts(machine, ring)).end.value;
}

}  // namespace

TEST_CASE("a message takes its way's latency and its bytes over the rate", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  // Inside a node 4 us + 1 MB / 100 GB/s; between nodes 8 us + 1 MB / 10 GB/s.
  CHECK_THAT(message_time(*machine, 0, 1), WithinRel(14e-6, 1e-9));
  CHECK_THAT(message_time(*machine, 0, 8), WithinRel(108e-6, 1e-9));
  CHECK_THAT(message_time(*machine, 9, 0), WithinRel(108e-6, 1e-9));
}

TEST_CASE("a message carries its payload once", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 2);
  const FlowSchedule schedule = point_to_point(1_MB, DeviceId(0), DeviceId(9), *machine);
  REQUIRE(schedule.phases.size() == 1);
  REQUIRE(schedule.phases[0].flows.size() == 1);
  CHECK(schedule.phases[0].flows[0].bytes == 1_MB);
  CHECK(schedule.phases[0].flows[0].links.size() == 2);
}

TEST_CASE("a message from a device to itself is our fault", "[collective]") {
  const auto machine = build_machine(small_cluster(8, 4), 1);
  CHECK_THROWS_AS(point_to_point(1_MB, DeviceId(3), DeviceId(3), *machine), InternalError);
}

}  // namespace foretrain::testing
