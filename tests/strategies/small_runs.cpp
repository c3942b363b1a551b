// SPDX-License-Identifier: Apache-2.0
#include "tests/strategies/small_runs.hpp"

#include <algorithm>
#include <string>

#include "strategies/lower.hpp"
#include "strategies/platform_costs.hpp"
#include "strategies/stage.hpp"
#include "tests/models/fixtures.hpp"
#include "tests/platforms/examples.hpp"

namespace foretrain::testing {
namespace {

Interconnect interconnect(BytesPerSecond rate) {
  Interconnect way;
  way.rate = assumed(rate);
  way.achieved = assumed(1.0);
  return way;
}

}  // namespace

Cluster small_cluster(std::int64_t gpus_per_node, std::int64_t nics_per_node) {
  Cluster cluster;
  cluster.name = "small";
  cluster.source = "a test";
  cluster.gpu = gpu_from(std::string(kGpuFile));
  cluster.gpus_per_node = gpus_per_node;
  cluster.nics_per_node = nics_per_node;
  cluster.node = interconnect(100_GBps);
  cluster.node.collective_latency = assumed(10_us);
  cluster.node.hop_latency = assumed(1_us);
  cluster.node.point_to_point_latency = assumed(4_us);
  cluster.fabric = interconnect(10_GBps);
  cluster.fabric.collective_latency = assumed(20_us);
  cluster.fabric.hop_latency = assumed(5_us);
  cluster.fabric.point_to_point_latency = assumed(8_us);
  return cluster;
}

Stack small_stack() {
  Stack stack;
  stack.name = "small";
  stack.source = "a test";
  stack.kernels.attention = AttentionKernel::unfused;
  stack.blocking_sends = false;
  stack.bucket = assumed(1_MB);
  stack.optimizer_bytes = assumed(30.0);
  stack.host_per_step = assumed(1_ms);
  stack.host_per_layer = assumed(0_s);
  stack.host_per_micro_batch = assumed(0_s);
  stack.context = assumed(1_GiB);
  return stack;
}

Run small_run(std::int64_t tensor, std::int64_t pipeline, std::int64_t data) {
  Run run;
  run.model = gpt(8, 64, 8);
  run.model.vocabulary = 300;
  const std::int64_t gpus = tensor * pipeline * data;
  const std::int64_t gpus_per_node = gpus % 4 == 0 ? 4 : gpus;
  run.cluster = small_cluster(gpus_per_node, std::min<std::int64_t>(gpus_per_node, 2));
  run.stack = small_stack();
  run.nodes = gpus / gpus_per_node;
  run.training.sequence_length = 64;
  run.training.micro_batch = 2;
  run.training.global_batch = 8 * data;  // 4 micro-batches
  run.parallel.tensor = tensor;
  run.parallel.pipeline = pipeline;
  return run;
}

void set_schedule(Run& run, const PipelineSchedule& schedule) {
  run.parallel.schedule = schedule.name;
  run.parallel.virtual_stages = 2;
  run.training.global_batch =
      2 * run.parallel.pipeline * run.training.micro_batch * run.data_parallel();
  if (schedule.refuse(run.pipeline_shape())) {
    run.parallel.virtual_stages = 1;
  }
}

double parameters_of(const Run& run) { return static_cast<double>(stage_shape(run, 0).parameters); }

Played play_run(const Run& run) {
  Played played;
  played.program = lower(run);
  played.machine = build_machine(run);
  played.timeline = play(played.program, PlatformCosts(*played.machine, run.variation));
  return played;
}

}  // namespace foretrain::testing
