// What every algorithm sends where: everybody ends with everything exactly once, and the flows
// carry the bytes of the moves, over the same links.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "strategies/collective/double_tree.hpp"
#include "tests/strategies/collective/groups.hpp"
#include "tests/strategies/collective/holdings.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

constexpr std::size_t kNodes = 5;

/// Members per node, on nodes of eight GPUs.
using Shape = std::vector<std::size_t>;

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = {{2},
                                         {3},
                                         {4},
                                         {5},
                                         {6},
                                         {7},
                                         {8},
                                         {1, 1},
                                         {2, 2},
                                         {3, 3},
                                         {8, 8},
                                         {1, 1, 1},
                                         {2, 2, 2},
                                         {5, 5, 5},
                                         {8, 8, 8},
                                         {1, 1, 1, 1},
                                         {3, 3, 3, 3},
                                         {1, 1, 1, 1, 1},
                                         {4, 4, 4, 4, 4},
                                         {7, 7, 7, 7, 7},
                                         {8, 8, 8, 8, 8},
                                         {3, 1},
                                         {1, 5},
                                         {8, 2, 5},
                                         {1, 2, 3, 4, 5},
                                         {7, 8, 8},
                                         {1, 1, 2, 1}};
  return all;
}

std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::size_t members : shape) {
    text += (text.empty() ? "" : " + ") + std::to_string(members);
  }
  return text;
}

/// How the members of a group are numbered along their devices.
enum class Order { forward, backward, interleaved };

std::vector<DeviceId> group_of(const Shape& shape, Order order) {
  std::vector<DeviceId> members;
  for (std::size_t node = 0; node < shape.size(); ++node) {
    for (std::size_t i = 0; i < shape[node]; ++i) {
      members.push_back(DeviceId(8 * node + (node % 2 == 0 ? i : 7 - i)));
    }
  }
  std::sort(members.begin(), members.end());
  if (order == Order::backward) {
    std::reverse(members.begin(), members.end());
  }
  if (order == Order::interleaved) {  // even places first, so that neighbours are apart
    std::vector<DeviceId> mixed;
    for (std::size_t start : {std::size_t{1}, std::size_t{0}}) {
      for (std::size_t i = start; i < members.size(); i += 2) {
        mixed.push_back(members[i]);
      }
    }
    members = mixed;
  }
  return members;
}

/// Calls `check(algorithm, request, machine, shape)` wherever an algorithm applies; returns how
/// often each did.
template <class Check>
std::map<std::string_view, int> for_every_group(Check check) {
  std::map<std::string_view, int> applied;
  for (const std::int64_t nics : {1, 4, 8}) {
    const auto machine = build_machine(switching_cluster(8, nics), kNodes);
    for (const Shape& shape : shapes()) {
      for (const Order order : {Order::forward, Order::backward, Order::interleaved}) {
        for (const CollectiveKind kind : kCollectiveKinds) {
          const CollectiveRequest request{kind, 48_MB, group_of(shape, order)};
          for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
            if (why_not(algorithm, request, *machine)) {
              continue;
            }
            INFO(algorithm.name << ", " << name_of(kind) << " of " << text_of(shape) << " with "
                                << nics << " NICs, order " << static_cast<int>(order));
            check(algorithm, request, *machine, shape);
            ++applied[algorithm.name];
          }
        }
      }
    }
  }
  return applied;
}

/// Sums over all NICs and over all ports of GPUs.
struct Totals {
  double nics = 0;
  double ports = 0;
};
Totals totals(const std::vector<double>& bytes, const Machine& machine) {
  Totals sums;
  for (std::size_t link = 0; link < bytes.size(); ++link) {
    const bool is_nic = machine.network().links[link].name.find(" nic ") != std::string::npos;
    (is_nic ? sums.nics : sums.ports) += bytes[link];
  }
  return sums;
}

}  // namespace

TEST_CASE("every member of a collective ends with every contribution exactly once",
          "[collective]") {
  const auto applied =
      for_every_group([](const CollectiveAlgorithm& algorithm, const CollectiveRequest& request,
                         const Machine& machine, const Shape& shape) {
        CHECK(fault_of(request.kind, request.devices.size(), shape.size(),
                       algorithm.moves(request, machine)) == "");
      });
  for (const CollectiveAlgorithm& algorithm : collective_algorithms()) {
    INFO(algorithm.name);
    CHECK(applied.count(algorithm.name) == 1);
  }
}

TEST_CASE("the flows of a collective carry the bytes of its moves over every link",
          "[collective]") {
  for_every_group([](const CollectiveAlgorithm& algorithm, const CollectiveRequest& request,
                     const Machine& machine, const Shape& shape) {
    const std::vector<double> moved =
        bytes_by_link(algorithm.moves(request, machine), request, machine);
    const std::vector<double> flown = bytes_by_link(algorithm.lower(request, machine), machine);
    if (algorithm.spread == Spread::exact) {
      for (std::size_t link = 0; link < moved.size(); ++link) {
        INFO(machine.network().links[link].name);
        CHECK_THAT(flown[link], WithinAbs(moved[link], 1e-9 * request.payload.value));
      }
      return;
    }
    // Of k nodes' NICs, trees use k - 1 and a ring, where the flows are those of rings, all k.
    const auto k = static_cast<double>(shape.size());
    const Totals move = totals(moved, machine);
    const Totals flow = totals(flown, machine);
    CHECK_THAT(flow.ports, WithinRel(move.ports, 1e-9) || WithinAbs(move.ports, 1e-9));
    CHECK(flow.nics >= move.nics * (1 - 1e-9));
    CHECK(flow.nics <= move.nics * k / (k - 1) * (1 + 1e-9));
  });
}

TEST_CASE("carrying out moves finds what is missing, doubled or sent from nowhere",
          "[collective]") {
  // Two members add each other's only chunk: complete. One of them alone: not. Twice: doubled.
  const Moves both{{1.0}, {{{0, 1, {0}, true}, {1, 0, {0}, true}}}};
  const Moves one{{1.0}, {{{0, 1, {0}, true}}}};
  const Moves twice{{1.0}, {{{0, 1, {0}, true}, {1, 0, {0}, true}}, {{0, 1, {0}, true}}}};
  CHECK(fault_of(kReduce, 2, 1, both) == "");
  CHECK(fault_of(kReduce, 2, 1, one) == "member 0 ends without chunk 0");
  CHECK(fault_of(kReduce, 2, 1, twice) == "member 1 ends without chunk 0");
  CHECK(fault_of(CollectiveKind::broadcast, 2, 1, {{1.0}, {{{1, 0, {0}, false}}}}) ==
        "1 sends chunk 0 without having any of it");
  CHECK(fault_of(kReduce, 2, 1, {{1.0}, {{{1, 1, {0}, false}}}}) ==
        "a move to oneself, or of nothing");
}

TEST_CASE("no node is inner in both trees, and no node is deeper than the logarithm",
          "[collective]") {
  for (std::size_t n = 1; n <= 130; ++n) {
    INFO(n << " nodes");
    const auto trees = double_binary_tree(n);
    std::vector<int> inner_in(n, 0);
    for (const TreeParents& parents : trees) {
      std::vector<int> children(n, 0);
      std::size_t roots = 0;
      for (std::size_t node = 0; node < n; ++node) {
        parents[node] == node ? ++roots : static_cast<std::size_t>(++children[parents[node]]);
        CHECK(std::size_t{1} << depth_of(node, parents) <= n);
      }
      CHECK(roots == 1);
      CHECK(*std::max_element(children.begin(), children.end()) <= 2);
      for (std::size_t node = 0; node < n; ++node) {
        inner_in[node] += children[node] > 0 ? 1 : 0;
      }
    }
    CHECK(*std::max_element(inner_in.begin(), inner_in.end()) <= 1);
  }
}

}  // namespace foretrain::testing
