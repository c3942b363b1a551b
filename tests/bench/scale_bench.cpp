// What simulations cost as jobs grow: one table, every row measured in processes of its own, one
// after the other, in one run.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "sim/study/simulate.hpp"
#include "strategies/collective/collective.hpp"
#include "strategies/platform_costs.hpp"
#include "tests/bench/bare_simgrid.hpp"
#include "tests/bench/child.hpp"
#include "tests/bench/load.hpp"

namespace foretrain::bench {
namespace {

constexpr int kTimes = 3;

void print(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

std::string machine() {
  std::ifstream file("/proc/cpuinfo");
  std::string model = "unknown processor";
  std::size_t cores = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      model = line.substr(line.find(": ") + 2);
      ++cores;
    }
  }
  return fmt::format("{}, {} cores", model, cores);
}

/// CPU time and memory of a simulation, from its run file to its prediction.
Cost cost_of_run(const std::function<Run()>& make, Fidelity fidelity) {
  return cost_of(
      [&] {
        const Simulation simulation = simulate(make(), {}, fidelity);
        return static_cast<double>(simulation.prediction.simulation.simulated_ranks);
      },
      kTimes);
}

void print_run(std::string_view what, std::int64_t ranks, const Cost& cost,
               std::string_view target) {
  print(fmt::format("{:<44}{:>9}{:>11.0f}{:>8.2f}{:>8.0f}   {}", what, ranks, cost.answer,
                    cost.cpu_seconds, cost.peak_mib, target));
}

Run llama(std::int64_t nodes) {
  Run run = load_run("llama-3-405b");
  run.nodes = nodes;
  run.training.global_batch = 16 * run.data_parallel();
  return run;
}

void steps() {
  print(fmt::format("{:<44}{:>9}{:>11}{:>8}{:>8}   {}", "one step", "ranks", "simulated", "CPU s",
                    "MiB", "target"));
  const auto cost_of_llama = [](std::int64_t nodes) {
    const Cost cost = cost_of_run([nodes] { return llama(nodes); }, Fidelity::lumped);
    print_run("Llama-3-405B, tensor 8, pipeline 16, lumped", 8 * nodes, cost,
              nodes == 2048 ? "1.0 s, 200 MiB" : "");
    return cost;
  };
  const Cost least = cost_of_llama(16);
  cost_of_llama(2048);
  const Cost most = cost_of_llama(16384);
  print(fmt::format("{:<44}{:>9}{:>11}{:>8.1f}{:>8.1f}   nearly flat", "  growth, times", 1024, "",
                    most.cpu_seconds / least.cpu_seconds, most.peak_mib / least.peak_mib));
  print_run("Megatron 530B, 280 micro-batches, lumped", 280,
            cost_of_run([] { return load_run("megatron-530b"); }, Fidelity::lumped), "1.0 s");
  print_run("Llama-3-8B, ZeRO-3, full fidelity", 1024,
            cost_of_run([] { return load_run("zero3-1024"); }, Fidelity::full), "");
}

/// All collectives are rings.
class RingCosts : public PlatformCosts {
 public:
  explicit RingCosts(const Machine& machine) : PlatformCosts(machine), machine_(machine) {}
  [[nodiscard]] FlowSchedule collective(CollectiveKind kind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override {
    return ring({kind, payload, devices}, machine_);
  }

 private:
  const Machine& machine_;
};

/// One all-reduce of 1 GiB over all ranks.
Program all_reduce(std::size_t ranks) {
  ProgramBuilder builder;
  const NameId name = builder.name("all-reduce");
  Body body;
  body.name = "rank";
  body.streams.push_back({"compute", {}});
  const Collective reduce{CollectiveKind::all_reduce, 0, Bytes(1024.0 * 1024 * 1024)};
  body.streams.front().ops.push_back({reduce, name, Phase::forward, -1, -1});
  builder.program.bodies.push_back(std::move(body));
  Group group{name, {}};
  group.members.reserve(ranks);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    group.members.emplace_back(rank);
    builder.program.ranks.push_back({BodyId(0), DeviceId(rank), {GroupId(0)}, {}});
  }
  builder.program.groups.push_back(std::move(group));
  return std::move(builder.program);
}

/// What ASTRA-sim takes for the same all-reduce, congestion-unaware and -aware: measured in
/// November 2026 on 2 cores, killed at 300 s.
std::string_view astra_sim(std::size_t ranks) {
  return ranks == 1024 ? "25.1 s, 41.2 s; 365 MB" : ranks == 4096 ? "> 300 s; 5.6 GB" : "-";
}

// The bare loop has the same actors and flows: what SimGrid itself takes.
void rings() {
  print(fmt::format("\n{:<44}{:>9}{:>8}{:>8}{:>9}{:>8}{:>8}   {}",
                    "ring all-reduce of 1 GiB, full fidelity", "ranks", "CPU s", "MiB", "KiB/rank",
                    "bare s", "ratio", "ASTRA-sim"));
  const Cluster cluster = load_run("llama-3-405b").cluster;
  const double empty = cost_of([] { return 0.0; }, 1).peak_mib;
  for (const std::size_t ranks : {1024U, 4096U, 16384U}) {
    const auto with_costs = [&](const auto& work) {
      const auto machine =
          build_machine(cluster, ranks / static_cast<std::size_t>(cluster.gpus_per_node));
      return work(all_reduce(ranks), RingCosts(*machine));
    };
    const Cost ours = cost_of(
        [&] {
          return with_costs([](const Program& program, const CostModel& costs) {
            return play(program, costs).end.value;
          });
        },
        kTimes);
    const Cost bare = cost_of(
        [&] {
          return with_costs([](const Program& program, const CostModel& costs) {
            return run_bare(bare_load(program, costs));
          });
        },
        kTimes);
    print(fmt::format("{:<44}{:>9}{:>8.2f}{:>8.0f}{:>9.1f}{:>8.2f}{:>8.2f}   {}",
                      fmt::format("  {:.1f} ms simulated", ours.answer * 1e3), ranks,
                      ours.cpu_seconds, ours.peak_mib,
                      (ours.peak_mib - empty) * 1024 / static_cast<double>(ranks), bare.cpu_seconds,
                      ours.cpu_seconds / bare.cpu_seconds, astra_sim(ranks)));
  }
}

/// Meta's cluster with this much less capacity above its pods of 384 nodes than below.
Cluster cluster_with_spine(int oversubscription) {
  config::Sources sources;
  const config::Value change = config::parse_toml(
      sources, "spine",
      fmt::format("fabric = {{ levels = [{{ name = 'rack', nodes = 2, oversubscription = 1 }}, "
                  "{{ name = 'pod', nodes = 384, oversubscription = {} }}] }}",
                  oversubscription));
  return load_cluster(sources, "meta-24k-roce", catalogue().platforms, {&change});
}

// Two stages fill one pod, or lie in two: then every message between them crosses the spine.
void spines() {
  print(fmt::format("\n{:<44}{:>9}{:>12}{:>12}{:>12}", "Llama-3-70B, tensor 8, pipeline 2: step, s",
                    "ranks", "spine 1:1", "7:1", "28:1"));
  for (const std::int64_t nodes : {384, 768}) {
    std::string line =
        fmt::format("{:<44}{:>9}", nodes == 384 ? "in one pod" : "a stage a pod", 8 * nodes);
    for (const int oversubscription : {1, 7, 28}) {
      const Cost cost = cost_of(
          [&] {
            Run run = load_run("two-stages");
            run.cluster = cluster_with_spine(oversubscription);
            run.nodes = nodes;
            run.training.global_batch = 8 * run.data_parallel();
            return simulate(run).prediction.step_time.seconds().value;
          },
          1);
      line += fmt::format("{:>12.4f}", cost.answer);
    }
    print(line);
  }
}

}  // namespace
}  // namespace foretrain::bench

int main() {
  foretrain::bench::print("CPU time and peak memory of whole processes, the best of 3, on " +
                          foretrain::bench::machine() + "\n");
  foretrain::bench::steps();
  foretrain::bench::rings();
  foretrain::bench::spines();
  return 0;
}
