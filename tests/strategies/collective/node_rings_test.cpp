// SPDX-License-Identifier: Apache-2.0
// Rings through nodes that are wired in different ways.
#include <set>
#include <string>
#include <vector>

#include "platforms/topology/topology.hpp"
#include "strategies/collective/placement.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

// Without what latencies and middle sizes cost: 64 GiB.
double all_reduce_GBps(const std::string& topology, const std::vector<std::size_t>& members) {
  const auto machine = machine_with(topology);
  const Bytes payload = 64_GiB;
  const double time =
      time_of({CollectiveKind::all_reduce, payload, devices(members)}, *machine, ring);
  return ring_bytes(CollectiveKind::all_reduce, payload, members.size()).value / time * 1e-9;
}

const std::vector<std::size_t> kAllOfOne = {0, 1, 2, 3, 4, 5, 6, 7};
const std::vector<std::size_t> kAllOfTwo = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

}  // namespace

TEST_CASE("a ring collective inside a node reaches what its links hold", "[collective]") {
  // 300 GB/s * 0.8 per GPU behind a switch and in both meshes; of a quad of the cube mesh four of
  // six links, of a pair of the full mesh one of seven; over two sockets 20 GB/s * 0.8.
  CHECK_THAT(all_reduce_GBps("nvswitch", kAllOfOne), WithinRel(240.0, 0.001));
  CHECK_THAT(all_reduce_GBps("full_mesh", kAllOfOne), WithinRel(240.0, 0.001));
  CHECK_THAT(all_reduce_GBps("hybrid_cube_mesh", kAllOfOne), WithinRel(240.0, 0.001));
  CHECK_THAT(all_reduce_GBps("hybrid_cube_mesh", {0, 1, 2, 3}), WithinRel(160.0, 0.001));
  CHECK_THAT(all_reduce_GBps("full_mesh", {2, 5}), WithinRel(240.0 / 7, 0.001));
  CHECK_THAT(all_reduce_GBps("pcie_tree", kAllOfOne), WithinRel(16.0, 0.001));
}

TEST_CASE("rings across nodes are held up by the NICs, not by a mesh inside", "[collective]") {
  // Four NICs of 200 Gb/s * 0.9 per node, against links of 34 and 40 GB/s in the meshes.
  for (const std::string topology : {"nvswitch", "full_mesh"}) {
    INFO(topology);
    CHECK_THAT(all_reduce_GBps(topology, kAllOfTwo), WithinRel(90.0, 0.001));
  }
}

TEST_CASE("rings across nodes enter and leave by all NICs where the wiring allows",
          "[collective]") {
  for (const std::string topology : {"nvswitch", "full_mesh", "hybrid_cube_mesh"}) {
    INFO(topology);
    const auto machine = machine_with(topology);
    std::set<std::size_t> in;
    std::set<std::size_t> out;
    for (const RingWay& way : ring_ways(
             place({CollectiveKind::all_reduce, 1_MB, devices(kAllOfTwo)}, *machine), *machine)) {
      REQUIRE(way.order.size() == 16);
      const std::vector<Member> first(way.order.begin(), way.order.begin() + 8);
      std::set<std::size_t> seen;
      for (const Member& member : first) {
        seen.insert(member.device.index());
      }
      CHECK(seen == std::set<std::size_t>(kAllOfOne.begin(), kAllOfOne.end()));
      in.insert(first.front().nic);
      out.insert(first.back().nic);
    }
    CHECK(in.size() == 4);
    CHECK(out.size() == 4);
  }
}

TEST_CASE("rings of a wired node have rates, and parts that add up", "[collective]") {
  const auto machine = machine_with("hybrid_cube_mesh");
  double shares = 0;
  for (const RingWay& way :
       ring_ways(place({CollectiveKind::all_reduce, 1_MB, devices({8, 9, 10, 11})}, *machine),
                 *machine)) {
    CHECK(way.order.front().device == DeviceId(8));
    CHECK(way.rate > BytesPerSecond(0));
    shares += 1 / way.parts;
  }
  CHECK_THAT(shares, WithinRel(1.0, 1e-9));
}

}  // namespace foretrain::testing
