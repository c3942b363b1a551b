// What told ranks of one body apart, for each way in which they can be unlike.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/lower.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/sim/lump/tree_costs.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/fake_costs.hpp"
#include "tests/support/program_maker.hpp"

using namespace foretrain::literals;

namespace foretrain::testing {
namespace {

std::vector<std::string> causes(const Lumped& lumped) {
  std::vector<std::string> texts;
  for (const Difference& difference : lumped.differences) {
    texts.push_back(difference.cause + " (" + std::to_string(difference.num_classes) + ")");
  }
  return texts;
}

using Causes = std::vector<std::string>;

/// Ranks of one body that reduce 1 MB over their groups of these sizes, with FakeCosts.
Program reduces_in_groups(const std::vector<std::size_t>& sizes) {
  std::size_t num_ranks = 0;
  for (const std::size_t size : sizes) {
    num_ranks += size;
  }
  ProgramMaker maker(num_ranks);
  maker.op(0, Kernels{maker.kernels(1)}).op(0, Collective{CollectiveKind::all_reduce, 0, 1_MB});
  std::size_t rank = 0;
  for (const std::size_t size : sizes) {
    std::vector<Rank> members;
    for (std::size_t i = 0; i < size; ++i) {
      members.push_back(Rank(rank++));
    }
    const GroupId group = maker.group(members);
    for (const Rank member : members) {
      maker.program().ranks[member.index()].communicators = {group};
      maker.program().ranks[member.index()].body = BodyId(0);
    }
  }
  maker.program().bodies.resize(1);
  return std::move(maker.program());
}

/// A small run of two stages by four replicas of two ranks, two to a node.
struct OnTree {
  explicit OnTree(std::size_t nodes_per_leaf) : costs(*machine, {2, nodes_per_leaf, 1}) {}

  Run run = small_run(2, 2, 4);
  Program program = lower(run);
  std::unique_ptr<Machine> machine =
      build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
  TreeCosts costs;
};

}  // namespace

TEST_CASE("ranks of an even machine differ by nothing but their bodies", "[lump]") {
  CHECK(causes(lump(reduces_in_groups({3, 3, 3}), FakeCosts(9, 1_GBps))).empty());
  const OnTree tree(4);
  const Lumped lumped = lump(tree.program, tree.costs);
  CHECK(lumped.originals.size() == 2);
  CHECK(causes(lumped).empty());
}

TEST_CASE("one slow device is named, and tells its group from the others", "[lump]") {
  FakeCosts costs(6, 1_GBps);
  costs.set_kind(DeviceId(4), 1);
  // Rank 4, and the other ranks of its group, which wait for it.
  CHECK(causes(lump(reduces_in_groups({3, 3}), costs)) ==
        Causes{"rank 4 runs on a device of its own kind (2)"});
}

TEST_CASE("one slow link is named with its rate and that of the others", "[lump]") {
  FakeCosts costs(6, 1_GBps);
  costs.way_out(DeviceId(2)).capacity = 0.25_GBps;
  CHECK(causes(lump(reduces_in_groups({2, 2, 2}), costs)) ==
        Causes{"out 2 has 0.25 GB/s instead of 1 (1)"});
}

TEST_CASE("groups of other sizes are told by their sizes", "[lump]") {
  CHECK(causes(lump(reduces_in_groups({3, 3, 2}), FakeCosts(8, 1_GBps))) ==
        Causes{"pair groups of 2 and of 3 ranks (1)"});
}

TEST_CASE("devices of two kinds are counted", "[lump]") {
  FakeCosts costs(8, 1_GBps);
  for (const std::size_t device : {5U, 6U, 7U}) {
    costs.set_kind(DeviceId(device), 1);
  }
  CHECK(causes(lump(reduces_in_groups({1, 1, 1, 1, 1, 1, 1, 1}), costs)) ==
        Causes{"3 ranks, such as 5, run on another kind of device (1)"});
}

TEST_CASE("each cause has the number of classes that it tells apart", "[lump]") {
  // Groups of two: one with a slow device (2 classes more), two with a slow link (1 class more).
  FakeCosts costs(12, 1_GBps);
  costs.set_kind(DeviceId(0), 1);
  costs.way_out(DeviceId(2)).capacity = 0.5_GBps;
  costs.way_out(DeviceId(5)).capacity = 0.5_GBps;
  const Lumped lumped = lump(reduces_in_groups({2, 2, 2, 2, 2, 2}), costs);
  CHECK(lumped.originals.size() == 4);
  CHECK(causes(lumped) == Causes{"rank 0 runs on a device of its own kind (2)",
                                 "2 links, such as out 2, have 0.5 GB/s instead of 1 (1)"});
}

TEST_CASE("nodes whose ring edges leave by other links are told apart", "[lump]") {
  const OnTree tree(2);
  // Of a ring over four nodes every second edge stays below its leaf: nodes with such an edge out
  // differ from those with such an edge in, in each of both stages.
  CHECK(causes(lump(tree.program, tree.costs)) ==
        Causes{"data flows over other numbers of links (2)"});
}

TEST_CASE("a slow NIC is found through the stages and replicas that it delays", "[lump]") {
  OnTree tree(4);
  tree.costs.slow_nic(3, 0.5);
  const Lumped lumped = lump(tree.program, tree.costs);
  REQUIRE(lumped.differences.size() == 1);
  CHECK(lumped.differences[0].cause == "nic 3 out has 5 GB/s instead of 10");
  CHECK(lumped.differences[0].num_classes == lumped.originals.size() - 2);
}

TEST_CASE("classes of ranks are bodies and differences", "[lump]") {
  OnTree tree(4);
  tree.costs.slow_nic(1, 0.5);
  tree.costs.set_kind(DeviceId(9), 3);
  const Lumped lumped = lump(tree.program, tree.costs);
  std::size_t classes = 2;
  for (const Difference& difference : lumped.differences) {
    classes += difference.num_classes;
  }
  CHECK(classes == lumped.originals.size());
  REQUIRE(lumped.differences.size() == 2);
  CHECK(lumped.differences[0].cause == "rank 9 runs on a device of its own kind");
  CHECK(lumped.differences[1].cause == "nic 1 out has 5 GB/s instead of 10");
}

}  // namespace foretrain::testing
