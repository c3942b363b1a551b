// Do slow GPUs, degraded links and jitter do what the run file says, and is everything refused that
// would do nothing?
// SPDX-License-Identifier: Apache-2.0
#include "strategies/variation.hpp"

#include <cmath>

#include "sim/study/simulate.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/sim/lump/compare.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

std::string with(const std::string& variation) { return std::string(kRunFile) + variation; }

/// A small run with variation as its file would have it.
Run varied(Run run, Variation variation) {
  VariationPlaces places;
  places.gpus.resize(variation.gpus.size());
  places.links.resize(variation.links.size());
  config::Diagnostics diagnostics;
  resolve_variation(places, *build_machine(run), static_cast<std::size_t>(run.num_gpus()),
                    variation, diagnostics);
  diagnostics.throw_if_any();
  run.variation = std::move(variation);
  return run;
}

Variation slow_gpu(std::int64_t node, std::int64_t gpu, double speed) {
  Variation variation;
  variation.gpus.push_back({node, gpu, speed});
  return variation;
}

Variation slow_link(const std::string& name, double capacity) {
  Variation variation;
  variation.links.push_back({name, capacity, false, 0, 0});
  return variation;
}

Variation jitter(double sigma, std::uint64_t seed) {
  Variation variation;
  variation.kernel_jitter = sigma;
  variation.seed = seed;
  return variation;
}

double end_of(const Run& run) { return play_run(run).timeline.end.value; }

}  // namespace

TEST_CASE("a GPU at half its speed takes twice as long for every kernel", "[variation]") {
  const Run run = varied(small_run(1, 1, 4), slow_gpu(0, 2, 0.5));
  const auto machine = build_machine(run);
  const PlatformCosts costs(*machine, run.variation);
  for (const std::vector<Kernel>& list : lower(run).kernel_lists) {
    for (const Kernel& kernel : list) {
      const double normal = costs.kernel_time(kernel, DeviceId(0)).value;
      CHECK(costs.kernel_time(kernel, DeviceId(2)).value == 2 * normal);
      CHECK(costs.kernel_time(kernel, DeviceId(3)).value == normal);
    }
  }
}

TEST_CASE("devices are told apart by their speed and by nothing else", "[variation]") {
  Variation variation = slow_gpu(0, 1, 0.5);
  variation.gpus.push_back({0, 3, 0.5});
  variation.gpus.push_back({1, std::nullopt, 1.5});
  const Run run = varied(small_run(1, 1, 8), variation);
  const auto machine = build_machine(run);
  const PlatformCosts costs(*machine, run.variation);
  const auto kind = [&](std::size_t device) { return costs.device_kind(DeviceId(device)); };
  CHECK(kind(0) == kind(2));
  CHECK(kind(1) == kind(3));
  CHECK(kind(4) == kind(7));
  CHECK(kind(0) != kind(1));
  CHECK(kind(0) != kind(4));
  CHECK(kind(1) != kind(4));
}

TEST_CASE("one slow GPU holds up a data-parallel step by what its own kernels take longer",
          "[variation]") {
  // Nothing overlaps in the small stack: the others wait for the slow one at the all-reduce.
  const Run even = small_run(1, 1, 8);
  const Run run = varied(even, slow_gpu(1, 2, 0.5));
  const Played normal = play_run(even);
  double kernels = 0;
  const Body& body = normal.program.body_of(Rank(0));
  for (std::size_t i = 0; i < body.streams[0].ops.size(); ++i) {
    if (std::holds_alternative<Kernels>(body.streams[0].ops[i].action)) {
      const Span& span = normal.timeline.ranks[0][0][i];
      kernels += (span.end - span.start).value;
    }
  }
  CHECK_THAT(end_of(run), WithinRel(normal.timeline.end.value + kernels, 1e-9));
}

TEST_CASE("one slow GPU of 64 leaves two kinds of rank to simulate", "[variation]") {
  const Run even = small_run(1, 1, 64);
  CHECK(simulate(even).prediction.simulation.simulated_ranks == 1);
  const Run run = varied(even, slow_gpu(3, 1, 0.8));
  const SimulationFacts facts = simulate(run).prediction.simulation;
  CHECK(facts.simulated_ranks == 2);
  // One and 63: no factor says that.
  CHECK(facts.lumping.starts_with("64 ranks -> 2 simulated; not lumped further: "));
}

TEST_CASE("what is slow is lumped exactly", "[variation]") {
  Variation variation = slow_gpu(0, 1, 0.7);
  variation.links.push_back({"node 1 nic 0", 0.25, true, 1, 0});
  const Run run = varied(small_run(2, 2, 4), variation);
  const auto machine = build_machine(run);
  const Both both = play_both(lower(run), PlatformCosts(*machine, run.variation));
  CHECK(largest_difference(both) < 1e-9);
  CHECK(both.num_simulated() < 16);
}

TEST_CASE("a degraded link has its share of the capacity and no other link has less",
          "[variation]") {
  const Run even = small_run(1, 1, 8);
  const auto before = build_machine(even);
  const auto after = build_machine(varied(even, slow_link("node 1 nic 0 out", 0.25)));
  for (std::size_t i = 0; i < before->network().links.size(); ++i) {
    const Link& link = after->network().links[i];
    const double share = link.name == "node 1 nic 0 out" ? 0.25 : 1;
    CHECK(link.capacity.value == share * before->network().links[i].capacity.value);
  }
}

TEST_CASE("a NIC is degraded in both directions", "[variation]") {
  Variation variation;
  variation.links.push_back({"node 0 nic 1", 0.5, true, 0, 1});
  const Run run = varied(small_run(1, 1, 8), variation);
  std::vector<std::string> names;
  for (const auto& [id, capacity] : run.variation.link_capacities) {
    names.push_back(build_machine(run)->network().links[id.index()].name);
    CHECK(capacity == 0.5);
  }
  CHECK(names == std::vector<std::string>{"node 0 nic 1 out", "node 0 nic 1 in"});
}

TEST_CASE("a slower NIC never makes a step shorter", "[variation]") {
  const Run even = small_run(1, 1, 8);
  double before = end_of(even);
  for (const double capacity : {0.8, 0.4, 0.1}) {
    const double end = end_of(varied(even, slow_link("node 0 nic 0 out", capacity)));
    CHECK(end > before);
    before = end;
  }
}

TEST_CASE("the same seed gives the same times and another seed others", "[variation]") {
  const Run even = small_run(2, 2, 2);
  const double end = end_of(varied(even, jitter(0.1, 7)));
  // SimGrid's clock goes on from run to run in a process, so the last bits differ.
  CHECK_THAT(end_of(varied(even, jitter(0.1, 7))), WithinRel(end, 1e-12));
  CHECK_THAT(end_of(varied(even, jitter(0.1, 8))), !WithinRel(end, 1e-6));
  CHECK_THAT(end_of(even), !WithinRel(end, 1e-6));
}

TEST_CASE("jitter leaves the mean of all runs of kernels where it was", "[variation]") {
  const Run even = small_run(1, 1, 64);
  const Played normal = play_run(even);
  const Played drawn = play_run(varied(even, jitter(0.2, 7)));
  double sum = 0;
  double n = 0;
  for (std::size_t rank = 0; rank < 64; ++rank) {
    const Body& body = normal.program.body_of(Rank(rank));
    for (std::size_t i = 0; i < body.streams[0].ops.size(); ++i) {
      const Span& span = normal.timeline.ranks[rank][0][i];
      const Span& other = drawn.timeline.ranks[rank][0][i];
      if (std::holds_alternative<Kernels>(body.streams[0].ops[i].action) && span.end > span.start) {
        sum += (other.end - other.start) / (span.end - span.start);
        ++n;
      }
    }
  }
  // Four standard errors of the mean of n factors with the deviation sqrt(exp(sigma^2) - 1).
  REQUIRE(n > 1000);
  CHECK_THAT(sum / n, WithinAbs(1, 4 * std::sqrt(std::expm1(0.04) / n)));
}

TEST_CASE("jitter turns lumping off, and the report says why", "[variation]") {
  const Simulation simulation = simulate(varied(small_run(1, 1, 8), jitter(0.05, 7)));
  const SimulationFacts& facts = simulation.prediction.simulation;
  CHECK(facts.simulated_ranks == 8);
  CHECK(facts.fidelity == "full");
  CHECK(facts.lumping ==
        "8 ranks simulated, each on its own: kernel_jitter makes every rank its own");
}

TEST_CASE("a report says what varies", "[variation]") {
  Variation variation = slow_gpu(0, 1, 0.7);
  variation.links.push_back({"node 1 nic 0", 0.25, true, 1, 0});
  variation.kernel_jitter = 0.05;
  variation.seed = 7;
  const Prediction prediction = simulate(varied(small_run(1, 1, 8), variation)).prediction;
  CHECK(prediction.notes.front() ==
        "variation: every run of kernels times a lognormal factor, sigma 0.05, seed 7; node 0 gpu "
        "1 at 0.7 of its compute rate; node 1 nic 0 at 0.25 of its capacity");
  REQUIRE(prediction.variation);
  CHECK(prediction.variation->seed == 7);
}

TEST_CASE("a run file says what varies", "[variation]") {
  const Run run =
      resolve_text(with("[variation]\nkernel_jitter = 0.05\nseed = 7\n"
                        "[[variation.gpus]]\nnode = 3\ngpu = 5\nspeed = 0.8\n"
                        "[[variation.gpus]]\nnode = 4\nspeed = 1.1\n"
                        "[[variation.links]]\nlink = \"node 3 nic 1 out\"\ncapacity = 0.5\n"
                        "[[variation.links]]\nnode = 2\nnic = 0\ncapacity = 0.25\n"));
  CHECK(run.variation.kernel_jitter == 0.05);
  CHECK(run.variation.seed == 7);
  CHECK(run.variation.device_speeds.size() == 9);
  CHECK(run.variation.device_speeds.at(DeviceId(29)) == 0.8);
  CHECK(run.variation.device_speeds.at(DeviceId(32)) == 1.1);
  CHECK(run.variation.link_capacities.size() == 3);
}

TEST_CASE("what does not exist is refused, and what there is is named", "[variation]") {
  CHECK(
      mistakes_in(with("[[variation.gpus]]\nnode = 12\nspeed = 0.8\n"
                       "[[variation.gpus]]\nnode = 3\ngpu = 8\nspeed = 0.8\n")) ==
      R"(run.toml:13:1: variation.gpus[0]: node 12 does not exist: the nodes of this run are 0 to 11
  [[variation.gpus]]
  ^
run.toml:16:1: variation.gpus[1]: gpu 8 does not exist: node 3 has GPUs 0 to 7
  [[variation.gpus]]
  ^)");
  CHECK(mistakes_in(with("[[variation.links]]\nnode = 3\nnic = 4\ncapacity = 0.5\n"
                         "[[variation.links]]\nlink = \"node 3 nic 1 oot\"\ncapacity = 0.5\n")) ==
        R"(run.toml:13:1: variation.links[0]: nic 4 does not exist: node 3 has NICs 0 to 3
  [[variation.links]]
  ^
run.toml:17:1: variation.links[1]: no link of this platform is called 'node 3 nic 1 oot'; did you mean 'node 3 nic 1 out'?
  [[variation.links]]
  ^)");
}

TEST_CASE("an entry that would do nothing is refused", "[variation]") {
  CHECK(
      mistakes_in(with("[variation]\nseed = 7\n")) ==
      R"(run.toml:14:8: variation.seed: has no effect without kernel_jitter or expert_imbalance; remove it
  seed = 7
         ^)");
  CHECK(mistakes_in(with("[[variation.gpus]]\nnode = 3\nspeed = 1\n")) ==
        R"(run.toml:15:9: variation.gpus[0].speed: speed 1 has no effect; remove the entry
  speed = 1
          ^)");
  CHECK(mistakes_in(with("[[variation.gpus]]\nnode = 3\ngpu = 5\nspeed = 0.5\n"
                         "[[variation.gpus]]\nnode = 3\nspeed = 0.9\n")) ==
        R"(run.toml:17:1: variation.gpus[1]: node 3 gpu 5 has a speed already, from an entry above
  [[variation.gpus]]
  ^)");
  CHECK(
      mistakes_in(with("[[variation.links]]\nnode = 3\nnic = 1\ncapacity = 0.5\n"
                       "[[variation.links]]\nlink = \"node 3 nic 1 in\"\ncapacity = 0.4\n")) ==
      R"(run.toml:17:1: variation.links[1]: node 3 nic 1 in has a capacity already, from an entry above
  [[variation.links]]
  ^)");
}

TEST_CASE("what takes no part in a run inside one node is refused", "[variation]") {
  const std::string one_node =
      spoilt(spoilt(kRunFile, "nodes = 12", "gpus = 4"), "pipeline = 4", "pipeline = 2");
  CHECK(
      mistakes_in(one_node + "[[variation.links]]\nnode = 0\nnic = 1\ncapacity = 0.5\n") ==
      R"(run.toml:13:1: variation.links[0]: node 0 nic 1 has no effect: nothing between the 4 GPUs of this run crosses it
  [[variation.links]]
  ^)");
  CHECK(mistakes_in(one_node + "[[variation.gpus]]\nnode = 0\ngpu = 4\nspeed = 0.5\n") ==
        R"(run.toml:13:1: variation.gpus[0]: gpu 4 takes no part in a run of 4 GPUs
  [[variation.gpus]]
  ^)");
}

TEST_CASE("values out of range and missing or unknown keys are refused", "[variation]") {
  CHECK(mistakes_in(with("[variation]\nkernel_jitter = 1.5\n")) ==
        R"(run.toml:14:17: variation.kernel_jitter: expected a number from 0 to 1, got 1.5
  kernel_jitter = 1.5
                  ^)");
  CHECK(mistakes_in(with("[[variation.gpus]]\ngpu = 5\nspeed = 3\n")) ==
        R"(run.toml:13:1: variation.gpus[0]: missing key 'node' (a whole number from 0 to 10000000)
  [[variation.gpus]]
  ^
run.toml:15:9: variation.gpus[0].speed: expected a number from 0.01 to 2, got 3
  speed = 3
          ^)");
  CHECK(mistakes_in(with("[[variation.links]]\ncapacity = 0\n")) ==
        R"(run.toml:13:1: variation.links[0]: expected the name of a link, or node and nic
  [[variation.links]]
  ^
run.toml:14:12: variation.links[0].capacity: expected a number from 0.01 to 1, got 0
  capacity = 0
             ^)");
  CHECK(mistakes_in(
            with("[[variation.links]]\nnode = 1\nnic = 2\nlink = \"x\"\nbandwidth = 0.5\n")) ==
        R"(run.toml:13:1: variation.links[0]: missing key 'capacity' (a number)
  [[variation.links]]
  ^
run.toml:16:8: variation.links[0].link: an entry names a link, or a NIC by node and nic, not both
  link = "x"
         ^
run.toml:17:1: variation.links[0]: unknown key 'bandwidth'; here it is called 'capacity'
  bandwidth = 0.5
  ^)");
}

}  // namespace foretrain::testing
