// The proof by trial: lumped and full runs agree on every op of every rank, over random plans on
// random machines, homogeneous and not.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <random>

#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/strategies/random_runs.hpp"
#include "tests/strategies/small_runs.hpp"

namespace foretrain::testing {
namespace {

/// A machine of which some links are slower and some devices too.
class UnevenCosts : public PlatformCosts {
 public:
  explicit UnevenCosts(const Machine& machine)
      : PlatformCosts(machine), network_(machine.network()), kinds_(machine.num_devices(), 0) {}

  void slow_link(std::size_t link, double factor) {
    network_.links[link % network_.links.size()].capacity *= factor;
  }
  void slow_device(std::size_t device) { ++kinds_[device % kinds_.size()]; }

  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override {
    return PlatformCosts::kernel_time(kernel, device) *
           (1 + 0.25 * static_cast<double>(device_kind(device)));
  }
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
    return kinds_[device.index()];
  }

 private:
  Network network_;
  std::vector<std::size_t> kinds_;
};

/// Runs on machines whose nodes need not fit the groups.
class OddRuns {
 public:
  explicit OddRuns(unsigned seed) : runs_(seed), generator_(seed) {}

  Run next() {
    Run run = runs_.next();
    const std::int64_t gpus = run.num_gpus();
    std::int64_t per_node = number(1, gpus);
    while (gpus % per_node != 0) {
      --per_node;
    }
    run.nodes = gpus / per_node;
    run.cluster.gpus_per_node = per_node;
    run.cluster.nics_per_node = number(1, per_node);
    if (run.parallel.virtual_stages == 1) {
      run.parallel.zero = number(0, run.parallel.pipeline == 1 ? 3 : 2);
    }
    return with_possible_dispatch(run);
  }
  std::int64_t number(std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(generator_);
  }
  std::size_t index(std::size_t count) {
    return static_cast<std::size_t>(number(0, static_cast<std::int64_t>(count) - 1));
  }
  void shuffle_devices(Program& program) {
    std::vector<std::size_t> order(program.ranks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), generator_);
    for (std::size_t rank = 0; rank < order.size(); ++rank) {
      program.ranks[rank].device = DeviceId(order[rank]);
    }
  }

 private:
  RandomRuns runs_;
  std::mt19937 generator_;
};

}  // namespace

TEST_CASE("a lumped run is the full run, on even machines", "[lump]") {
  OddRuns runs(11);
  Tally tally;
  for (int i = 0; i < 80; ++i) {
    const Run run = runs.next();
    INFO(describe(run) << " nodes of " << run.cluster.gpus_per_node << " with "
                       << run.cluster.nics_per_node << " NICs");
    const auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
    tally.compare(lower(run), PlatformCosts(*machine));
  }
  CHECK(tally.smaller > tally.pairs / 2);
  CHECK(tally.unstable == 0);
}

TEST_CASE("a lumped run is the full run, on uneven machines", "[lump]") {
  OddRuns runs(12);
  Tally tally;
  for (int i = 0; i < 120; ++i) {
    const Run run = runs.next();
    INFO(describe(run) << " nodes of " << run.cluster.gpus_per_node << " with "
                       << run.cluster.nics_per_node << " NICs, variant " << i % 3);
    const auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
    UnevenCosts costs(*machine);
    Program program = lower(run);
    if (i % 3 == 0) {
      costs.slow_link(runs.index(machine->network().links.size()), 0.4);
    } else if (i % 3 == 1) {
      costs.slow_device(runs.index(machine->num_devices()));
    } else {
      runs.shuffle_devices(program);
    }
    tally.compare(program, costs);
  }
  CHECK(tally.smaller > tally.pairs / 4);
  CHECK(tally.unstable <= 1);
}

TEST_CASE("a lumped run is the full run, where communication slows computing", "[lump]") {
  OddRuns runs(13);
  Tally tally;
  std::size_t slowed = 0;
  for (int i = 0; i < 60; ++i) {
    Run run = runs.next();
    INFO(describe(run) << " nodes of " << run.cluster.gpus_per_node << " with "
                       << run.cluster.nics_per_node << " NICs, variant " << i % 3);
    const double before = play_run(run).timeline.end.value;
    run.cluster.node.compute_share = {0.3, "a test", config::Basis::assumed};
    run.cluster.fabric.compute_share = {0.1, "a test", config::Basis::assumed};
    slowed += play_run(run).timeline.end.value > before * (1 + 1e-9) ? 1 : 0;
    const auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
    UnevenCosts costs(*machine);
    Program program = lower(run);
    if (i % 3 == 1) {
      costs.slow_device(runs.index(machine->num_devices()));
    } else if (i % 3 == 2) {
      runs.shuffle_devices(program);
    }
    tally.compare(program, costs);
  }
  CHECK(slowed > tally.pairs / 4);
  CHECK(tally.unstable == 0);
  CHECK(tally.smaller > tally.pairs / 4);
}

}  // namespace foretrain::testing
