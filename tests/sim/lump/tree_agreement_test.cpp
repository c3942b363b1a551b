// The proof by trial, on trees of switches: links shared by several nodes, collectives of several
// phases whose ring edges are flows of their own, and every way in which ranks may be unlike.
// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "strategies/lower.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/sim/lump/tree_costs.hpp"
#include "tests/strategies/random_runs.hpp"
#include "tests/support/two_jobs.hpp"

namespace foretrain::testing {
namespace {

constexpr int kPairsPerFamily = 30;

/// Random plans on random trees, the same for the same seed.
class Trees {
 public:
  explicit Trees(unsigned seed) : runs_(seed), generator_(seed) {}

  /// A program, the machine that its kernels run on, and the tree.
  struct Pair {
    std::string text;
    Program program;
    std::unique_ptr<Machine> machine;
    TreeCosts costs;
  };

  Pair next() {
    const Run run = runs_.next();
    return make(lower(run), run, describe(run));
  }
  Pair next_two() {
    const Run one = runs_.next();
    Run machine = one;
    const Run other = runs_.next();
    machine.nodes = one.num_gpus() + other.num_gpus();
    machine.cluster.gpus_per_node = 1;
    machine.cluster.nics_per_node = 1;
    return make(two_jobs(lower(one), lower(other)), machine,
                describe(one) + " and " + describe(other));
  }
  std::size_t below(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(generator_);
  }

 private:
  Pair make(Program program, const Run& run, std::string text) {
    auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
    const TreeSizes sizes{1 + below(4), 1 + below(3), 1.0 + static_cast<double>(below(4))};
    text += " on nodes of " + std::to_string(sizes.gpus_per_node) + ", leaves of " +
            std::to_string(sizes.nodes_per_leaf);
    TreeCosts costs(*machine, sizes);
    return {std::move(text), std::move(program), std::move(machine), std::move(costs)};
  }

  RandomRuns runs_;
  std::mt19937 generator_;
};

/// A stream more in every body, that copies to the host, has it work and copies back, by turns with
/// pauses; the first copies wait for nothing, so that they meet what the other streams do.
void add_host_copies(Program& program, Trees& trees) {
  for (Body& body : program.bodies) {
    Stream& stream = body.streams.emplace_back();
    stream.name = "host";
    const NameId name = body.streams.front().ops.front().name;
    const std::size_t rounds = 1 + trees.below(4);
    for (std::size_t i = 0; i < rounds; ++i) {
      const Bytes bytes(1e5 * static_cast<double>(1 + trees.below(50)));
      for (const Action& action : std::initializer_list<Action>{
               HostCopy{CopyDirection::to_host, bytes}, HostCopy{CopyDirection::inside_host, bytes},
               HostCopy{CopyDirection::to_device, bytes},
               Delay{Seconds(1e-6 * static_cast<double>(1 + trees.below(100)))}}) {
        stream.ops.push_back({action, name, Phase::optimizer, -1, -1});
      }
    }
  }
}

/// Lets `change` spoil each pair of a family, and compares.
template <class Change>
Tally compare_family(Trees& trees, Change change) {
  Tally tally;
  for (int i = 0; i < kPairsPerFamily; ++i) {
    Trees::Pair pair = trees.next();
    INFO(pair.text);
    change(pair.costs);
    tally.compare(pair.program, pair.costs);
  }
  CHECK(tally.unstable == 0);
  return tally;
}

}  // namespace

TEST_CASE("a lumped run is the full run, below leaves that are too narrow", "[lump]") {
  Trees trees(21);
  CHECK(compare_family(trees, [](TreeCosts&) {}).smaller > kPairsPerFamily / 3);
}

TEST_CASE("a lumped run is the full run, with one slow NIC below a leaf", "[lump]") {
  Trees trees(22);
  const Tally tally = compare_family(
      trees, [&](TreeCosts& costs) { costs.slow_nic(trees.below(costs.num_nodes()), 0.3); });
  CHECK(tally.smaller > kPairsPerFamily / 4);
}

TEST_CASE("a lumped run is the full run, with one straggler below a leaf", "[lump]") {
  Trees trees(23);
  const Tally tally = compare_family(trees, [&](TreeCosts& costs) {
    costs.set_kind(DeviceId(trees.below(costs.num_devices())), 1);
  });
  CHECK(tally.smaller > kPairsPerFamily / 6);
}

TEST_CASE("a lumped run is the full run, with nodes of two kinds below the leaves", "[lump]") {
  Trees trees(24);
  const Tally tally = compare_family(trees, [&](TreeCosts& costs) {
    for (std::size_t node = 0; node < costs.num_nodes(); ++node) {
      costs.set_kind_of_node(node, trees.below(2));
    }
  });
  CHECK(tally.smaller > kPairsPerFamily / 6);
}

TEST_CASE("a lumped run is the full run, with a slow NIC, a straggler and a third kind of node",
          "[lump]") {
  Trees trees(25);
  compare_family(trees, [&](TreeCosts& costs) {
    costs.slow_nic(trees.below(costs.num_nodes()), 0.5);
    costs.set_kind_of_node(trees.below(costs.num_nodes()), 2);
    costs.set_kind(DeviceId(trees.below(costs.num_devices())), 1);
  });
}

TEST_CASE("a lumped run is the full run, with two jobs on one tree", "[lump]") {
  // Their ranks take turns on the devices, so they share nodes, NICs and leaves.
  Trees trees(26);
  Tally tally;
  for (int i = 0; i < kPairsPerFamily; ++i) {
    const Trees::Pair pair = trees.next_two();
    INFO(pair.text);
    tally.compare(pair.program, pair.costs);
  }
  CHECK(tally.smaller > kPairsPerFamily / 4);
}

TEST_CASE("a lumped run is the full run, with copies to hosts beside the messages", "[lump]") {
  Trees trees(27);
  Tally tally;
  for (int i = 0; i < kPairsPerFamily; ++i) {
    Trees::Pair pair = trees.next();
    INFO(pair.text << ", variant " << i % 3);
    add_host_copies(pair.program, trees);
    if (i % 3 == 1) {
      pair.costs.set_kind(DeviceId(trees.below(pair.costs.num_devices())), 1);
    } else if (i % 3 == 2) {
      pair.costs.slow_nic(trees.below(pair.costs.num_nodes()), 0.4);
    }
    tally.compare(pair.program, pair.costs);
  }
  CHECK(tally.unstable <= 1);
  CHECK(tally.smaller > kPairsPerFamily / 4);
}

}  // namespace foretrain::testing
