// Which share of a GPU does a communication take?
// SPDX-License-Identifier: Apache-2.0
#include "strategies/platform_costs.hpp"

#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {

TEST_CASE("a communication takes the share of the interconnect that it needs", "[strategies]") {
  Cluster cluster = small_cluster(4, 2);
  cluster.node.compute_share = {0.15, "a test", config::Basis::assumed};
  cluster.fabric.compute_share = {0.02, "a test", config::Basis::assumed};
  const auto machine = build_machine(cluster, 2);
  const PlatformCosts costs(*machine);
  const auto all_reduce = [&](const std::vector<DeviceId>& devices) {
    return costs.collective(CollectiveKind::all_reduce, 1_MB, devices).compute_share;
  };
  CHECK(all_reduce({DeviceId(0), DeviceId(1), DeviceId(3)}) == 0.15);
  CHECK(all_reduce({DeviceId(0), DeviceId(1), DeviceId(4)}) == 0.02);
  CHECK(costs.point_to_point(1_MB, DeviceId(4), DeviceId(5)).compute_share == 0.15);
  CHECK(costs.point_to_point(1_MB, DeviceId(3), DeviceId(4)).compute_share == 0.02);
}

TEST_CASE("without a compute_share in its file a cluster's communications take nothing",
          "[strategies]") {
  const auto machine = build_machine(small_cluster(4, 2), 2);
  const PlatformCosts costs(*machine);
  CHECK(costs.collective(CollectiveKind::all_gather, 1_MB, {DeviceId(0), DeviceId(4)})
            .compute_share == 0);
  CHECK(costs.point_to_point(1_MB, DeviceId(0), DeviceId(1)).compute_share == 0);
}

}  // namespace foretrain::testing
