// The run file's keys about schedules.
// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/keys.hpp"

#include "tests/strategies/run_files.hpp"
#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

/// kRunFile with 2 stages, 12 micro-batches and more keys of [parallel].
Run two_stages(const std::string& more) {
  std::string text = spoilt(kRunFile, "pipeline = 4", "pipeline = 2\n" + more);
  text = spoilt(text, "global_batch = 1536", "global_batch = 1152");
  return resolve_text(text);
}

}  // namespace

TEST_CASE("a schedule that leaves no choice of chunks gives their number", "[pipeline]") {
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    INFO(schedule.name);
    const Run run = two_stages("schedule = \"" + std::string(schedule.name) + "\"");
    CHECK(run.parallel.virtual_stages == std::max(1, schedule.chunks));
  }
  CHECK(two_stages("virtual_stages = 11").parallel.schedule == "interleaved-1f1b");
}

TEST_CASE("schedules of two chunks want layers for both, and a pipeline", "[pipeline]") {
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nschedule = \"zb-v\"")
          .starts_with("run.toml:12:12: parallel.pipeline: pipeline 4 x virtual_stages 2 = 8 does "
                       "not divide the 44 layers of the model"));
  CHECK(
      run_error("pipeline = 4", "pipeline = 1\nschedule = \"zb-v\"") ==
      R"(run.toml:13:12: parallel.schedule: this schedule goes along the stages and back, but pipeline = 1
  schedule = "zb-v"
             ^)");
  // Two copies of the model: a stage holds two of pipeline = 4 places, 44 layers over 4.
  CHECK(mistakes_in(spoilt(kRunFile, "pipeline = 4", "pipeline = 4\nschedule = \"dualpipe\""))
            .empty());
  CHECK(run_error("pipeline = 4", "pipeline = 8\nschedule = \"dualpipe\"")
            .starts_with("run.toml:12:12: parallel.pipeline: pipeline 8, of which each stage holds "
                         "two, does not divide the 44 layers of the model"));
}

TEST_CASE("groups of micro-batches are for schedules that interleave", "[pipeline]") {
  CHECK(
      two_stages("virtual_stages = 11\nmicro_batch_group = 4").pipeline_shape().micro_batch_group ==
      4);
  CHECK(two_stages("").pipeline_shape().micro_batch_group == 0);
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nmicro_batch_group = 8") ==
      R"(run.toml:13:21: parallel.micro_batch_group: micro_batch_group has no effect with schedule = "1f1b"; it is of interleaved-1f1b and interleaved-zb
  micro_batch_group = 8
                      ^)");
  CHECK(
      run_error("pipeline = 4", "pipeline = 4\nvirtual_stages = 11\nmicro_batch_group = 3") ==
      R"(run.toml:10:1: parallel.schedule: micro_batch_group = 3 is less than pipeline = 4: a stage would wait for what it has just sent
  [parallel]
  ^)");
}

TEST_CASE("other tools' names of the keys are known", "[pipeline]") {
  for (const char* other : {"microbatch_group_size_per_vp_stage", "microbatches_per_round"}) {
    CHECK(run_error("pipeline = 4", "pipeline = 4\n" + std::string(other) + " = 8")
              .find("micro_batch_group") != std::string::npos);
  }
}

}  // namespace foretrain::testing
