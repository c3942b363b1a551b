// Which links can hold flows back.
// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/binding_links.hpp"

#include "tests/support/catch.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

Route route(const std::vector<std::size_t>& links, BytesPerSecond limit = BytesPerSecond(0)) {
  Route made{{}, limit};
  for (const std::size_t link : links) {
    made.links.emplace_back(link);
  }
  return made;
}

Network network(const std::vector<BytesPerSecond>& capacities) {
  Network made;
  for (const BytesPerSecond capacity : capacities) {
    made.links.push_back({"link", capacity});
  }
  return made;
}

}  // namespace

TEST_CASE("of links with the same traffic only the slowest is kept", "[engine]") {
  const BindingLinks kept =
      binding_links(network({5_GBps, 3_GBps, 4_GBps}), {route({0, 1, 2}, 9_GBps)});
  REQUIRE(kept.network.links.size() == 1);
  CHECK(kept.network.links[0].capacity == 3_GBps);
  CHECK(kept.routes == std::vector<Route>{route({0}, 9_GBps)});
}

TEST_CASE("links that other routes cross too are kept, and how often they are named", "[engine]") {
  // Link 0 is crossed by both routes, link 1 by the first, 2 twice by the second, 3 by nobody.
  const BindingLinks kept =
      binding_links(network({1_GBps, 2_GBps, 3_GBps, 4_GBps}), {route({0, 1}), route({2, 0, 2})});
  CHECK(kept.network.links.size() == 3);
  CHECK(kept.routes == std::vector<Route>{route({0, 1}), route({0, 2, 2})});
}

TEST_CASE("a link named twice has other traffic than one named once", "[engine]") {
  const BindingLinks kept = binding_links(network({3_GBps, 2_GBps}), {route({0, 0, 1})});
  CHECK(kept.network.links.size() == 2);
}

TEST_CASE("a route without links keeps its limit", "[engine]") {
  const BindingLinks kept = binding_links(network({}), {route({}, 1_GBps)});
  CHECK(kept.routes == std::vector<Route>{route({}, 1_GBps)});
}

}  // namespace foretrain::testing
