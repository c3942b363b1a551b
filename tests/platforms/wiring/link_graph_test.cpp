// SPDX-License-Identifier: Apache-2.0
// Graphs of nodes: which way a route takes.
#include "platforms/wiring/link_graph.hpp"

#include <string>
#include <vector>

#include "sim/core/error.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

std::vector<std::string> way(const LinkGraph& graph, Vertex from, Vertex to) {
  const Routes routes(graph);
  std::vector<std::string> names;
  for (const std::size_t edge : routes.between(from, to)) {
    names.push_back(graph.name_of(edge));
  }
  return names;
}

using Names = std::vector<std::string>;

TEST_CASE("a route takes the fewest hops, however narrow", "[platforms][wiring]") {
  LinkGraph graph({3, 0, 1, 0}, Forwarding::gpus_too);
  graph.join(gpu_vertex(0), gpu_vertex(1), 1_GBps);
  graph.join(gpu_vertex(0), switch_vertex(0), 100_GBps);
  graph.join(gpu_vertex(1), switch_vertex(0), 100_GBps);
  CHECK(way(graph, gpu_vertex(0), gpu_vertex(1)) == Names{"gpu 0 to gpu 1"});
}

TEST_CASE("of routes with as many hops the widest is taken, then that over the lowest numbers",
          "[platforms][wiring]") {
  LinkGraph graph({2, 0, 3, 0}, Forwarding::switches_only);
  for (const std::size_t i : {0U, 1U, 2U}) {
    graph.join(gpu_vertex(0), switch_vertex(i), i == 0 ? 10_GBps : 20_GBps);
    graph.join(gpu_vertex(1), switch_vertex(i), 20_GBps);
  }
  // Over switch 0 there are 10 GB/s, over 1 and 2 there are 20.
  CHECK(way(graph, gpu_vertex(0), gpu_vertex(1)) ==
        Names{"gpu 0 to switch 1", "switch 1 to gpu 1"});
  CHECK(way(graph, gpu_vertex(1), gpu_vertex(0)) ==
        Names{"gpu 1 to switch 1", "switch 1 to gpu 0"});
}

TEST_CASE("GPUs forward only where they may, and NICs never", "[platforms][wiring]") {
  for (const Forwarding forwarding : {Forwarding::switches_only, Forwarding::gpus_too}) {
    LinkGraph graph({4, 1, 0, 0}, forwarding);
    graph.join(gpu_vertex(0), gpu_vertex(1), 10_GBps);
    graph.join(gpu_vertex(1), gpu_vertex(2), 10_GBps);
    graph.join(gpu_vertex(2), nic_vertex(0), 10_GBps);
    graph.join(gpu_vertex(3), nic_vertex(0), 10_GBps);
    CHECK(
        way(graph, gpu_vertex(0), gpu_vertex(2)) ==
        (forwarding == Forwarding::gpus_too ? Names{"gpu 0 to gpu 1", "gpu 1 to gpu 2"} : Names{}));
    CHECK(way(graph, gpu_vertex(2), gpu_vertex(3)).empty());
    CHECK(way(graph, nic_vertex(0), gpu_vertex(2)) == Names{"nic 0 to gpu 2"});
  }
}

TEST_CASE("a second link between two, one without a rate, or one to itself is our bug",
          "[platforms][wiring]") {
  LinkGraph graph({2, 0, 0, 0}, Forwarding::switches_only);
  graph.join(gpu_vertex(0), gpu_vertex(1), 10_GBps);
  CHECK(graph.rate_between(gpu_vertex(1), gpu_vertex(0)) == 10_GBps);
  CHECK_THROWS_AS(graph.join(gpu_vertex(1), gpu_vertex(0), 10_GBps), InternalError);
  CHECK_THROWS_AS(graph.join(gpu_vertex(0), gpu_vertex(0), 10_GBps), InternalError);
  CHECK_THROWS_AS(graph.join(gpu_vertex(0), gpu_vertex(1), 0_GBps), InternalError);
  CHECK_THROWS_AS(graph.join(gpu_vertex(0), switch_vertex(0), 1_GBps), InternalError);
}

}  // namespace
}  // namespace foretrain::testing
