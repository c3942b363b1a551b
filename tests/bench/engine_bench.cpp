// What the engine costs: the two examples, and the same activities in a bare SimGrid loop, in one
// run. Activities are SimGrid's sleeps and transfers; events are the ops of the program.
// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <sys/resource.h>

#include <benchmark/benchmark.h>

#include "sim/study/simulate.hpp"
#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/bench/bare_simgrid.hpp"
#include "tests/bench/load.hpp"

namespace foretrain::bench {
namespace {

double peak_memory_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024e-6;
}

// From a run to its prediction, as `foretrain simulate` does it.
void predict_example(benchmark::State& state, const std::string& example) {
  const Run run = load_example(example);
  std::size_t events = 0;
  for (auto _ : state) {
    const Simulation simulation = simulate(run);
    events = simulation.timeline.events;
    benchmark::DoNotOptimize(simulation.prediction.step_time);
  }
  state.counters["events"] = static_cast<double>(events);
  state.counters["peak_MB"] = peak_memory_mb();
}

// The engine alone against the bare loop, turn by turn in the same process.
void engine_against_bare(benchmark::State& state, const std::string& example) {
  const Run run = load_example(example);
  const Program program = lower(run);
  const auto machine = build_machine(run.cluster, static_cast<std::size_t>(run.nodes));
  const PlatformCosts costs(*machine);
  const BareLoad load = bare_load(program, costs);
  double engine = 0;
  double bare = 0;
  double bare_activities = 0;
  std::size_t events = 0;
  std::size_t activities = 0;
  for (auto _ : state) {
    const double start = cpu_seconds();
    const Timeline timeline = play(program, costs);
    const double seconds = cpu_seconds() - start;
    engine += seconds;
    events += timeline.events;
    activities += timeline.activities;
    state.SetIterationTime(seconds);
    bare += run_bare(load);
    bare_activities += static_cast<double>(load.num_activities);
  }
  state.counters["events_per_s"] = static_cast<double>(events) / engine;
  state.counters["activities_per_s"] = static_cast<double>(activities) / engine;
  state.counters["bare_activities_per_s"] = bare_activities / bare;
  state.counters["ratio_to_bare"] = engine / bare;
}

BENCHMARK_CAPTURE(engine_against_bare, gpt_neox_20b, "gpt_neox_20b")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5);
BENCHMARK_CAPTURE(engine_against_bare, megatron_gpt_175b, "megatron_gpt_175b")
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5);
BENCHMARK_CAPTURE(predict_example, gpt_neox_20b, "gpt_neox_20b")
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5);
BENCHMARK_CAPTURE(predict_example, megatron_gpt_175b, "megatron_gpt_175b")
    ->Unit(benchmark::kMillisecond)
    ->Iterations(5);

}  // namespace
}  // namespace foretrain::bench

BENCHMARK_MAIN();
