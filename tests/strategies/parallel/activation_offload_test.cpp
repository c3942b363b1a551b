// Activations that wait on the host: what goes there comes back, and what stays on the device.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/activation_offload.hpp"

#include "sim/report/memory_curve.hpp"
#include "strategies/lower.hpp"
#include "tests/strategies/counting.hpp"
#include "tests/strategies/run_files.hpp"
#include "tests/strategies/small_runs.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

Run activation_offload_run(std::int64_t pipeline, double share, BytesPerSecond link = 1_TBps) {
  Run run = small_run(1, pipeline, 1);
  run.training.offload_activations = share;
  run.cluster.host = Host{assumed(Bytes(1e12)),
                          assumed(Bytes(1e12) / Seconds(1)),
                          assumed(link),
                          assumed(link),
                          std::nullopt,
                          1,
                          1};
  return run;
}

double peak(const Played& played) {
  return memory_peak(memory_curve(played.program, played.timeline, Rank(0))).total().value;
}

// Kept by one layer for one micro-batch.
double layer(const Run& run) { return stage_shape(run, 0).layer(0).saved.value; }

}  // namespace

TEST_CASE("all that goes to the host comes back, once per layer and micro-batch", "[strategies]") {
  for (const std::int64_t pipeline : {1, 2, 4}) {
    for (const double share : {0.5, 1.0}) {
      const Run run = activation_offload_run(pipeline, share);
      const Program program = lower(run);
      CHECK_NOTHROW(verify(program));
      const double layers = 8.0 / static_cast<double>(pipeline);
      const double expected = 4 * layers * share * layer(run);
      CHECK(copied(program, CopyDirection::to_host) == expected);
      CHECK(copied(program, CopyDirection::to_device) == expected);
      // p micro-batches are under way on the first stage.
      CHECK(program.body_of(Rank(0)).host_bytes.value ==
            static_cast<double>(std::min<std::int64_t>(pipeline, 4)) * layers * share * layer(run));
    }
  }
}

TEST_CASE("nothing changes where nothing is offloaded", "[strategies]") {
  const Run run = activation_offload_run(2, 0);
  CHECK(copied(lower(run), CopyDirection::to_host) == 0);
  CHECK(play_run(run).timeline.end == play_run(small_run(1, 2, 1)).timeline.end);
}

TEST_CASE("the device holds at most two layers of what is offloaded", "[strategies]") {
  // A link that is never waited for long. Without offloading 8 layers are there at a time.
  const Run none = activation_offload_run(1, 0);
  const double before = peak(play_run(none));
  for (const double share : {0.25, 0.5, 1.0}) {
    const double now = peak(play_run(activation_offload_run(1, share)));
    CHECK(now <= before - (8 - 2) * share * layer(none));
    CHECK(now >= before - 8 * share * layer(none));
  }
}

TEST_CASE("a step is as long as its copies when the link is slow", "[strategies]") {
  const Run slow = activation_offload_run(1, 1, Bytes(1e8) / Seconds(1));
  const double each = copied(lower(slow), CopyDirection::to_host) / 1e8;
  const Seconds end = play_run(slow).timeline.end;
  CHECK(end.value >= each);
  CHECK(end > play_run(activation_offload_run(1, 1)).timeline.end);
  CHECK(play_run(activation_offload_run(1, 1)).timeline.end >=
        play_run(activation_offload_run(1, 0)).timeline.end);
}

TEST_CASE("with full recomputation the layers' inputs are offloaded", "[strategies]") {
  Run run = activation_offload_run(1, 1);
  run.training.recompute = Recompute::full;
  const double input = 2.0 * 64 * 2 * 64;  // 2 s b h
  CHECK(copied(lower(run), CopyDirection::to_host) == 4 * 8 * input);
}

TEST_CASE("activations are offloaded under every schedule", "[strategies]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    Run run = activation_offload_run(2, 1);
    run.parallel.schedule = schedule.name;
    for (const std::int64_t chunks : {1, 2}) {
      run.parallel.virtual_stages = chunks;
      if (schedule.refuse(run.pipeline_shape())) {
        continue;
      }
      INFO(schedule.name);
      const Program program = lower(run);
      CHECK_NOTHROW(verify(program));
      CHECK(copied(program, CopyDirection::to_host) == copied(program, CopyDirection::to_device));
      CHECK(copied(program, CopyDirection::to_host) > 0);
    }
  }
}

TEST_CASE("offloading activations needs a host and something that is kept", "[strategies]") {
  CHECK(run_error("micro_batch = 4", "micro_batch = 4\noffload_activations = 0.5") == "");
  CHECK(
      run_error("micro_batch = 4\n\n[parallel]\ntensor = 2\npipeline = 4",
                "micro_batch = 4\noffload_activations = 1\nfrozen = [\"embedding\", \"layers\"]\n"
                "[parallel]\ntensor = 2") ==
      R"(run.toml:9:23: training.offload_activations: has no effect: frozen layers without a backward pass keep nothing
  offload_activations = 1
                        ^)");
  const std::string beyond =
      run_error("micro_batch = 4", "micro_batch = 4\noffload_activations = 2");
  CHECK(beyond ==
        R"(run.toml:9:23: training.offload_activations: expected a share from 0 to 1
  offload_activations = 2
                        ^)");
}

}  // namespace foretrain::testing
