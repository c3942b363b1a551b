// SPDX-License-Identifier: Apache-2.0
#include "strategies/pipeline/keys.hpp"

namespace foretrain {
namespace {

std::vector<config::Choice<std::string>> choices() {
  std::vector<config::Choice<std::string>> all;
  all.reserve(pipeline_schedules().size());
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    all.push_back({schedule.name, std::string(schedule.name)});
  }
  return all;
}

std::string schedules_with_groups() {
  std::string names;
  for (const PipelineSchedule& schedule : pipeline_schedules()) {
    if (schedule.has_groups) {
      names += (names.empty() ? "" : " and ") + std::string(schedule.name);
    }
  }
  return names;
}

}  // namespace

void read_schedule(config::Reader& reader, Parallel& parallel, RunFile& file) {
  parallel.virtual_stages = reader.count("virtual_stages", 1, config::Range{1, 1024});
  parallel.schedule = reader.choice<std::string>(
      "schedule", choices(), parallel.virtual_stages > 1 ? "interleaved-1f1b" : "1f1b");
  const std::int32_t chunks = pipeline_schedule(parallel.schedule).chunks;
  if (chunks > 0 && !reader.has("virtual_stages")) {
    parallel.virtual_stages = chunks;
  }
  parallel.micro_batch_group = reader.maybe_count("micro_batch_group", config::Range{1, 1'000'000});
  parallel.blocking_sends = reader.maybe<bool>("blocking_sends");
  file.schedule_position = reader.position_of("schedule");
  file.virtual_stages_position = reader.position_of("virtual_stages");
  file.micro_batch_group_position = reader.position_of("micro_batch_group");
}

void check_schedule(const RunFile& file, const Run& run, config::Diagnostics& diagnostics) {
  const PipelineSchedule& schedule = pipeline_schedule(run.parallel.schedule);
  if (run.parallel.micro_batch_group && !schedule.has_groups) {
    diagnostics.add(file.micro_batch_group_position, "parallel.micro_batch_group",
                    "micro_batch_group has no effect with schedule = \"" + run.parallel.schedule +
                        "\"; it is of " + schedules_with_groups());
  } else if (const auto reason = schedule.refuse(run.pipeline_shape())) {
    diagnostics.add(file.schedule_position, "parallel.schedule", *reason);
  }
}

}  // namespace foretrain
