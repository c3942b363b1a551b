// SPDX-License-Identifier: Apache-2.0
// Rings over wired GPUs: how much of the links they use.
#include "platforms/wiring/ring_search.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "sim/core/error.hpp"
#include "tests/platforms/routes.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Catch::Matchers::WithinRel;

LinkGraph mesh(std::size_t gpus, BytesPerSecond of_pair) {
  LinkGraph graph({gpus, 0, 0, 0}, Forwarding::switches_only);
  for (std::size_t a = 0; a < gpus; ++a) {
    for (std::size_t b = a + 1; b < gpus; ++b) {
      graph.join(gpu_vertex(a), gpu_vertex(b), of_pair);
    }
  }
  return graph;
}

std::vector<std::size_t> all_of(std::size_t gpus) {
  std::vector<std::size_t> members;
  members.reserve(gpus);
  for (std::size_t gpu = 0; gpu < gpus; ++gpu) {
    members.push_back(gpu);
  }
  return members;
}

std::vector<RingOrder> rings_of(const LinkGraph& graph) {
  return search_rings(all_of(graph.counts().gpus), graph, Routes(graph));
}

TEST_CASE("rings of a full mesh fill every link", "[platforms][wiring]") {
  // The complete directed graph splits into cycles through all its vertices, except with 4 or 6
  // (Tillson 1980); with 4 its 6 cycles at half the rate cover each link twice, with 6 another 10.
  for (const std::size_t gpus : {2U, 3U, 4U, 5U, 6U, 7U, 8U}) {
    INFO(gpus << " GPUs");
    const auto rings = rings_of(mesh(gpus, 50_GBps));
    CHECK_THAT(total_GBps(rings), WithinRel(50.0 * static_cast<double>(gpus - 1), 1e-9));
  }
  CHECK(rings_of(mesh(8, 50_GBps)).size() == 7);
  CHECK(rings_of(mesh(4, 50_GBps)).size() == 6);
}

TEST_CASE("rings go both ways round a ring of links, each at the rate of its narrowest",
          "[platforms][wiring]") {
  LinkGraph graph({4, 0, 0, 0}, Forwarding::switches_only);
  LinkGraph open({4, 0, 0, 0}, Forwarding::gpus_too);
  for (std::size_t gpu = 0; gpu < 4; ++gpu) {
    graph.join(gpu_vertex(gpu), gpu_vertex((gpu + 1) % 4), gpu == 2 ? 30_GBps : 50_GBps);
    if (gpu < 3) {
      open.join(gpu_vertex(gpu), gpu_vertex(gpu + 1), 50_GBps);
    }
  }
  // GPUs 0 and 2 have no way to each other unless one forwards: let them have a slow one.
  graph.join(gpu_vertex(0), gpu_vertex(2), 1_GBps);
  graph.join(gpu_vertex(1), gpu_vertex(3), 1_GBps);
  const auto rings = rings_of(graph);
  REQUIRE(rings.size() >= 2);
  CHECK(rings[0].gpus == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(rings[1].gpus == std::vector<std::size_t>{0, 3, 2, 1});
  CHECK_THAT(rings[0].rate / 30_GBps, WithinRel(1.0, 1e-9));
  CHECK_THAT(rings[1].rate / 30_GBps, WithinRel(1.0, 1e-9));
  // On a chain the way back goes over the same links the other way: one ring fills them all.
  const auto chain = rings_of(open);
  CHECK(chain.size() == 1);
  CHECK_THAT(chain[0].rate / 50_GBps, WithinRel(1.0, 1e-9));
}

TEST_CASE("under one switch one ring fills every port, in ascending order", "[platforms][wiring]") {
  for (const std::size_t gpus : {2U, 8U, 12U}) {
    LinkGraph graph({gpus, 0, 1, 0}, Forwarding::switches_only);
    for (std::size_t gpu = 0; gpu < gpus; ++gpu) {
      graph.join(gpu_vertex(gpu), switch_vertex(0), 25_GBps);
    }
    const auto rings = rings_of(graph);
    INFO(gpus << " GPUs");
    REQUIRE(rings.size() == 1);
    CHECK(rings[0].gpus == all_of(gpus));
    CHECK(rings[0].share == 1.0);
    CHECK_THAT(rings[0].rate / 25_GBps, WithinRel(1.0, 1e-9));
  }
}

TEST_CASE("more GPUs than can be searched get rings of equal strides", "[platforms][wiring]") {
  // Of 12 the strides 1, 5, 7 and 11; of 11 all ten, which fill every link.
  CHECK(total_GBps(rings_of(mesh(12, 10_GBps))) >= 40.0 * (1 - 1e-9));
  CHECK_THAT(total_GBps(rings_of(mesh(11, 10_GBps))), WithinRel(100.0, 1e-9));
}

TEST_CASE("one GPU is a ring alone, and none is our bug", "[platforms][wiring]") {
  const LinkGraph graph = mesh(3, 50_GBps);
  const auto rings = search_rings({1}, graph, Routes(graph));
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].gpus == std::vector<std::size_t>{1});
  CHECK(rings[0].share == 1.0);
  CHECK_THROWS_AS(search_rings({}, graph, Routes(graph)), InternalError);
}

}  // namespace
}  // namespace foretrain::testing
