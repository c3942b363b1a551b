// The bounds of a layout against the simulator: never above it, over hundreds of random runs, every
// schedule, offloading, unlike GPUs and every platform; and close enough to it to be of use.
// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/bounds.hpp"

#include <algorithm>
#include <filesystem>

#include "sim/study/simulate.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/pipeline/placement.hpp"
#include "strategies/resolve.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/strategies/random_runs.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

using Catch::Matchers::WithinRel;

namespace foretrain::testing {
namespace {

// What the simulator and the bounds add up in different orders.
constexpr double kRounding = 1 + 1e-9;

Host small_host() {
  return Host{assumed(Bytes(1e12)),
              assumed(100_GBps),
              assumed(50_GBps),
              assumed(20_GBps),
              std::nullopt,
              1,
              1};
}

/// How near bounds come to what they bound, in the mean: bound over simulated.
struct Tightness {
  double sum = 0;
  double count = 0;
  void add(double ratio) {
    sum += ratio;
    count += 1;
  }
  [[nodiscard]] double mean() const { return sum / count; }
};

class Comparison {
 public:
  void check(const Run& run) {
    CAPTURE(describe(run));
    const Simulation simulation = simulate(run);
    const Seconds step = simulation.timeline.end;
    Bytes peak;
    for (const RoleMemory& role : simulation.prediction.memory) {
      peak = std::max(peak, role.peak.total());
    }
    const Breakdown& parts = simulation.prediction.breakdown;
    const Seconds waiting = parts.bubble.seconds() + parts.host.seconds();
    LayoutBounds bounds(run);
    const LayoutBound quick = bounds.quick(run);
    const LayoutBound scheduled = bounds.scheduled(run);
    CHECK(quick.time <= step * kRounding);
    CHECK(scheduled.time <= step * kRounding);
    CHECK(quick.memory <= peak * kRounding);
    CHECK(scheduled.memory <= peak * kRounding);
    CHECK(quick.busy <= (step - waiting) * kRounding + Seconds(1e-12));  // parts are picoseconds
    quick_time.add(quick.time / step);
    scheduled_time.add(scheduled.time / step);
    quick_memory.add(quick.memory / peak);
    scheduled_memory.add(scheduled.memory / peak);
  }

  Tightness quick_time;
  Tightness scheduled_time;
  Tightness quick_memory;
  Tightness scheduled_memory;
};

/// The run with the next schedule of the table, where it can have that.
Run with_schedule(const Run& run, std::size_t number) {
  const auto& schedule = pipeline_schedules()[number % pipeline_schedules().size()];
  Run other = run;
  set_schedule(other, schedule);
  const bool is_possible =
      run.parallel.pipeline > 1 && !schedule.refuse(other.pipeline_shape()) &&
      other.model.layers % num_places(other.placement(), other.pipeline_shape()) == 0;
  return is_possible ? other : run;
}

}  // namespace

TEST_CASE("no simulated step is shorter or smaller than its bounds", "[search]") {
  RandomRuns runs(20);
  Comparison comparison;
  for (int i = 0; i < 250; ++i) {
    comparison.check(runs.next());
  }
  // Steps of a millisecond, of which latencies and contention are a good part.
  CHECK(comparison.quick_time.mean() > 0.90);
  CHECK(comparison.scheduled_time.mean() > 0.93);
  CHECK(comparison.quick_memory.mean() > 0.99);
  CHECK(comparison.scheduled_memory.mean() > 0.999);
}

TEST_CASE("bounds hold for every schedule", "[search]") {
  RandomRuns runs(21);
  Comparison comparison;
  for (std::size_t i = 0; i < 250; ++i) {
    comparison.check(with_schedule(runs.next(), i));
  }
  CHECK(comparison.quick_time.mean() > 0.87);
  CHECK(comparison.scheduled_time.mean() > 0.92);
  CHECK(comparison.quick_memory.mean() > 0.97);
  CHECK(comparison.scheduled_memory.mean() > 0.999);
}

TEST_CASE("bounds hold where the host updates", "[search]") {
  RandomRuns runs(22);
  Comparison comparison;
  for (int checked = 0; checked < 60;) {
    Run run = runs.next();
    if (run.parallel.zero == 0 || has_expert_grid(run)) {
      continue;
    }
    run.cluster.host = small_host();
    run.offload.optimizer = true;
    run.offload.parameters = run.parallel.zero == 3 && checked % 2 == 0;
    run.offload.delayed_update = checked % 5 == 0;
    comparison.check(run);
    ++checked;
  }
  CHECK(comparison.scheduled_time.mean() > 0.6);
}

TEST_CASE("bounds hold with GPUs that are slower than others and links that are degraded",
          "[search]") {
  RandomRuns runs(23);
  Comparison comparison;
  for (int i = 0; i < 80; ++i) {
    Run run = runs.next();
    const auto slow = static_cast<std::size_t>(i) % static_cast<std::size_t>(run.num_gpus());
    run.variation.device_speeds[DeviceId(slow)] = 0.5;
    if (i % 2 == 0) {
      run.variation.link_capacities[LinkId(0)] = 0.3;
    }
    comparison.check(run);
  }
  CHECK(comparison.scheduled_time.mean() > 0.8);
}

TEST_CASE("bounds hold with other optimizers, widths, buckets and kinds of sharding", "[search]") {
  RandomRuns runs(24);
  Comparison comparison;
  for (std::size_t i = 0; i < 120; ++i) {
    Run run = runs.next();
    if (!has_expert_grid(run)) {
      run.training.optimizer = std::string(optimizers()[i % optimizers().size()].name);
    }
    run.sharding.gradient_bucket = i % 3 == 0 ? std::optional(Bytes(3e5)) : std::nullopt;
    run.sharding.gather_by_tensor = i % 4 == 0;
    run.sharding.backward_prefetch = i % 2 == 0;
    run.training.offload_activations = 0;
    run.stack.host_per_piece.value = Seconds(i % 5 == 0 ? 2e-6 : 0);
    run.stack.host_per_kernel.value = Seconds(i % 2 == 0 ? 3e-6 : 0);
    run.stack.gathers_after_recompute = i % 3 == 1;
    run.stack.gathers_by_broadcasts = i % 7 < 3;
    comparison.check(run);
  }
  CHECK(comparison.scheduled_time.mean() > 0.85);
}

TEST_CASE("of one GPU the bounds are what the simulator says", "[search]") {
  // One stream does everything in order, and nobody else is there: nothing is left out.
  Run run = small_run(1, 1, 1);
  for (const Recompute recompute : {Recompute::none, Recompute::selective, Recompute::full}) {
    run.training.recompute = recompute;
    const Simulation simulation = simulate(run);
    LayoutBounds bounds(run);
    CHECK_THAT(bounds.quick(run).time.value, WithinRel(simulation.timeline.end.value, 1e-12));
    CHECK_THAT(bounds.scheduled(run).time.value, WithinRel(simulation.timeline.end.value, 1e-12));
    CHECK_THAT(bounds.scheduled(run).memory.value,
               WithinRel(simulation.prediction.memory.front().peak.total().value, 1e-12));
  }
}

TEST_CASE("the bound of a pipeline of unlike stages follows its slowest one", "[search]") {
  // Half of the speed at the second of four stages, 16 micro-batches: that stage alone takes twice
  // what it would, and the others wait for it.
  Run run = small_run(1, 4, 1);
  run.training.global_batch = 16 * run.training.micro_batch;
  LayoutBounds alike(run);
  const Seconds before = alike.quick(run).time;
  run.variation.device_speeds[DeviceId(1)] = 0.5;
  LayoutBounds bounds(run);
  CHECK(bounds.quick(run).time > before * 1.5);
  CHECK(bounds.quick(run).time <= simulate(run).timeline.end * kRounding);
}

TEST_CASE("bounds hold on every platform", "[search]") {
  const std::string root = FORETRAIN_SOURCE_DIR;
  const Catalogue catalogue = {root + "/models", root + "/platforms", root + "/strategies/stacks"};
  for (const auto& entry : std::filesystem::directory_iterator(root + "/platforms/clusters")) {
    const std::string name = entry.path().stem().string();
    CAPTURE(name);
    RunFile file;
    file.inline_model = gpt(8, 1024, 16);
    file.platform = name;
    file.training.sequence_length = 512;
    file.training.global_batch = 1;
    config::Sources sources;
    config::Diagnostics diagnostics;
    Run run = assemble(file, sources, catalogue, "", diagnostics);
    diagnostics.throw_if_any();
    run.training.precision = run.cluster.gpu.gemm.contains(Dtype::bf16) ? Dtype::bf16 : Dtype::fp16;
    run.stack.kernels.attention = AttentionKernel::unfused;
    run.nodes = std::max<std::int64_t>(4, run.cluster.node_unit());
    if (run.cluster.max_nodes > 0) {
      run.nodes = std::min(run.nodes, run.cluster.max_nodes);
    }
    Comparison comparison;
    for (const std::int64_t pipeline : {1, 2}) {
      run.parallel.pipeline = pipeline;
      run.parallel.tensor = run.cluster.gpus_per_node % 2 == 0 ? 2 : 1;
      if (run.num_gpus() % (pipeline * run.parallel.tensor) != 0) {
        continue;
      }
      run.parallel.zero = pipeline == 1 ? 3 : 1;
      run.training.global_batch = 4 * run.data_parallel();
      comparison.check(run);
    }
    CHECK(comparison.scheduled_time.mean() > 0.4);  // NICs and PCIe shared by many GPUs
  }
}

}  // namespace foretrain::testing
