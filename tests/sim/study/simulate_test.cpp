// One simulation: lumped or full, what it says of itself, and what it refuses.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/simulate.hpp"

#include <algorithm>

#include "sim/core/error.hpp"
#include "tests/platforms/examples.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

void check_same(const Breakdown& a, const Breakdown& b) {
  const auto close = [](Picoseconds left, Picoseconds right) {
    return std::abs(left.count - right.count) <= 2;  // each was rounded
  };
  CHECK(close(a.step, b.step));
  CHECK(close(a.compute, b.compute));
  CHECK(close(a.bubble, b.bubble));
  CHECK(close(a.host, b.host));
  REQUIRE(a.exposed.size() == b.exposed.size());
  for (const auto& [axis, time] : a.exposed) {
    CHECK(close(time, b.exposed.at(axis)));
  }
}

}  // namespace

TEST_CASE("a lumped prediction is the full one, and its parts add up", "[study]") {
  const Run run = small_run(2, 4, 2);
  const Prediction lumped = simulate(run).prediction;
  const Prediction full = simulate(run, {}, Fidelity::full).prediction;
  check_same(lumped.breakdown, full.breakdown);
  CHECK(lumped.breakdown.total() == lumped.step_time);
  REQUIRE(lumped.by_role.size() == full.by_role.size());
  for (std::size_t i = 0; i < full.by_role.size(); ++i) {
    check_same(lumped.by_role[i].second, full.by_role[i].second);
    CHECK(lumped.memory[i].peak.held == full.memory[i].peak.held);
  }
}

TEST_CASE("a simulation says what it simulated", "[study]") {
  const Run run = small_run(2, 4, 2);
  const SimulationFacts lumped = simulate(run).prediction.simulation;
  CHECK(lumped.ranks == 16);
  CHECK(lumped.simulated_ranks == 4);
  CHECK(lumped.fidelity == "lumped");
  CHECK(lumped.lumping ==
        "16 ranks -> 4 simulated (data x2, tensor x2); not lumped further: stages differ (4)");
  CHECK(lumped.lumping_reasons == std::vector<std::string>{"stages differ (4)"});
  const SimulationFacts full = simulate(run, {}, Fidelity::full).prediction.simulation;
  CHECK(full.simulated_ranks == 16);
  CHECK(full.events == 4 * lumped.events);
  CHECK(full.fidelity == "full");
  CHECK(full.lumping == "16 ranks simulated, each on its own");
  CHECK(full.lumping_reasons.empty());
}

TEST_CASE("every rank shares the timeline of a rank of its stage that has one", "[study]") {
  const Simulation simulation = simulate(small_run(2, 4, 2));
  for (std::size_t rank = 0; rank < 16; ++rank) {
    const Rank shown = simulation.simulated[rank];
    CHECK(simulation.program.ranks[shown.index()].body == simulation.program.ranks[rank].body);
    CHECK(simulation.simulated[shown.index()] == shown);
    CHECK_FALSE(simulation.timeline.ranks[shown.index()].empty());
    CHECK(simulation.timeline.ranks[rank].empty() == (shown != Rank(rank)));
  }
}

TEST_CASE("16,384 ranks are simulated as their stages, and refused one by one", "[study]") {
  Run run = small_run(4, 2, 2048);
  const SimulationFacts facts = simulate(run).prediction.simulation;
  CHECK(
      facts.lumping ==
      "16,384 ranks -> 2 simulated (data x2048, tensor x4); not lumped further: stages differ (2)");
  const std::string refusal = error_of([&] { return simulate(run, {}, Fidelity::full); });
  CHECK(refusal.find("nodes: nodes 4096 leaves 16384 ranks to simulate one by one, with 81920 "
                     "streams") != std::string::npos);
  CHECK(refusal.find("at most 30000 streams") != std::string::npos);
}

TEST_CASE("a run can force the algorithm of its collectives", "[study]") {
  // One large gradient all-reduce over two nodes of four: a tree at 0.45 of the rate of the ring,
  // which the default takes.
  Run run = small_run(1, 1, 8);
  const auto forced = [&](const char* name) {
    run.collectives = {{CollectiveKind::all_reduce, &collective_algorithm(name), {}}};
    return simulate(run).prediction.step_time;
  };
  const Picoseconds chosen = simulate(run).prediction.step_time;
  const Picoseconds tree = forced("tree");
  const Picoseconds ring = forced("ring");
  CHECK(tree != ring);
  CHECK(chosen <= std::min(tree, ring));
}

TEST_CASE("lumping is exact for collectives of several phases", "[study]") {
  Run run = small_run(1, 1, 8);
  for (const char* name : {"tree", "hierarchical", "halving-doubling"}) {
    INFO(name);
    run.collectives = {{CollectiveKind::all_reduce, &collective_algorithm(name), {}}};
    const Prediction lumped = simulate(run).prediction;
    const Prediction full = simulate(run, {}, Fidelity::full).prediction;
    check_same(lumped.breakdown, full.breakdown);
    CHECK(lumped.simulation.simulated_ranks < full.simulation.simulated_ranks);
  }
}

TEST_CASE("a forced algorithm that cannot serve a group is the user's mistake", "[study]") {
  Run run = small_run(1, 1, 8);
  Diagnostic place;
  place.file = "run.toml";
  place.line = 3;
  place.column = 14;
  place.key = "collectives.all_reduce";
  run.collectives = {{CollectiveKind::all_reduce, &collective_algorithm("nvls"), place}};
  for (const Fidelity fidelity : {Fidelity::lumped, Fidelity::full}) {
    CHECK(
        error_of([&] { return simulate(run, {}, fidelity); }) ==
        "run.toml:3:14: collectives.all_reduce: 'nvls' cannot serve a group of 8 GPUs on 2 nodes: "
        "the group spans 2 nodes, but one switch has to reach all members");
  }
}

}  // namespace foretrain::testing
