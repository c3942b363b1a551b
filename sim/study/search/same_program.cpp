// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/same_program.hpp"

#include "strategies/parallel/expert.hpp"

namespace foretrain {
namespace {

PipelineShape shape_for(const PipelineSchedule& schedule, const Run& run) {
  PipelineShape shape = run.pipeline_shape();
  if (!schedule.has_groups) {
    shape.micro_batch_group = 0;
  }
  return shape;
}

bool have_one_order(const PipelineSchedule& a, const PipelineSchedule& b, const Run& run) {
  const PipelineShape shape_of_a = shape_for(a, run);
  const PipelineShape shape_of_b = shape_for(b, run);
  if (a.end != b.end || a.placement != b.placement || a.chunks != b.chunks ||
      a.refuse(shape_of_a)) {
    return false;
  }
  for (std::int32_t stage = 0; stage < shape_of_a.stages; ++stage) {
    if (a.order(shape_of_a, stage) != b.order(shape_of_b, stage)) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::optional<LayoutChoice> SamePrograms::before(const LayoutChoice& layout, const Run& run) {
  LayoutChoice other = layout;
  other.zero = least_zero(layout, run);
  other.schedule = first_schedule(layout, run);
  if (other == layout || !space_.allows(other)) {
    return std::nullopt;
  }
  return space_.why_not(space_.run_in(other)) ? std::nullopt : std::optional(other);
}

std::int64_t SamePrograms::least_zero(const LayoutChoice& layout, const Run& run) {
  const bool is_alone =
      run.holders() == 1 && !has_expert_grid(run) && run.sharding.persistence_threshold == Bytes(0);
  if (is_alone && layout.offload == OffloadChoice::none) {
    return 0;
  }
  const bool sums_once = !run.sharding.reduce_every_micro_batch.value_or(false);
  return layout.zero == 2 && layout.pipeline > 1 && sums_once ? 1 : layout.zero;
}

// Chunks change the order in all schedules that have them.
std::string_view SamePrograms::first_schedule(const LayoutChoice& layout, const Run& run) {
  if (layout.virtual_stages > 1) {
    return layout.schedule;
  }
  const PipelineSchedule& own = pipeline_schedule(layout.schedule);
  const std::int64_t number = &own - pipeline_schedules().data();
  const auto [place, is_new] =
      schedules_.try_emplace({number, layout.pipeline, run.num_micro_batches(),
                              run.parallel.micro_batch_group.value_or(0), layout.gpus},
                             layout.schedule);
  if (is_new) {
    for (const PipelineSchedule& other : pipeline_schedules()) {
      if (&other == &own) {
        break;
      }
      if (have_one_order(other, own, run)) {
        place->second = other.name;
        break;
      }
    }
  }
  return place->second;
}

}  // namespace foretrain
