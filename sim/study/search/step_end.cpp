// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/step_end.hpp"

#include <algorithm>

#include "strategies/parallel/data.hpp"
#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/offload.hpp"
#include "strategies/parallel/optimizer.hpp"

namespace foretrain {
namespace {

bool is_slanted(const Run& run) {
  return pipeline_schedule(run.parallel.schedule).end == StepEnd::stage_by_stage &&
         run.parallel.pipeline > 1;
}

}  // namespace

const StageEnd& StepEnds::end(const Run& run, const RankGrid& grid, std::size_t column,
                              std::int64_t stage) {
  const Key key = {run.parallel.tensor,
                   run.parallel.pipeline,
                   run.parallel.context,
                   run.parallel.experts.degree,
                   run.parallel.virtual_stages,
                   static_cast<std::int64_t>(run.placement()),
                   is_slanted(run) ? 1 : 0,
                   run.parallel.zero,
                   run.offload.optimizer ? (run.offload.parameters ? 2 : 1) : 0,
                   static_cast<std::int64_t>(column),
                   stage};
  const auto found = ends_.find(key);
  return found != ends_.end() ? found->second
                              : ends_.emplace(key, make(run, grid, column, stage)).first->second;
}

StageEnd StepEnds::make(const Run& run, const RankGrid& grid, std::size_t column,
                        std::int64_t stage) {
  const StageShape shape = stage_shape(run, stage);
  const RankPlace& place = grid.columns[column].ranks[static_cast<std::size_t>(stage)];
  StageEnd end;
  ProgramBuilder builder;
  BodyWriter writer(builder, "held");
  hold_model_states(run, shape, writer);
  CompressedWire(run, writer, WirePlace::gradients).hold_state(shape.trained());
  const Body held = writer.take();
  for (const Resident& resident : held.resident) {
    end.resident += resident.bytes;
  }
  end.slack = held.allocator_slack;
  end.exposed = run.stack.exposed_gradients.value;
  end.dense = dense_times(costs_, run, grid.layout, place, shape);
  if (has_expert_grid(run)) {
    end.experts = expert_times(costs_, run, grid.layout, place, shape);
  }
  add_update(run, grid.layout, place, shape, end);
  if (run.offload.optimizer) {
    add_host(run, grid.layout, place, shape, grid.columns.size() == 1, end);
  }
  return end;
}

// The body of the update as the simulator has it, cut where all stages wait for the norm.
void StepEnds::add_update(const Run& run, const Layout& layout, const RankPlace& place,
                          const StageShape& shape, StageEnd& end) {
  ProgramBuilder builder;
  BodyWriter writer(builder, "update");
  writer.launch_time(run.stack.host_per_kernel.value);
  write_update(run, shape, writer);
  const Body body = writer.take();
  const DeviceId device(layout.rank(place.tensor, place.data, place.stage).index());
  for (const Op& op : body.streams.front().ops) {
    Seconds& time = end.waits_for_norm ? end.after_norm : end.before_norm;
    if (const auto* kernels = std::get_if<Kernels>(&op.action)) {
      time += std::max(kernels->launches,
                       costs_.kernels(builder.program.kernel_lists[kernels->list.index()], device));
    } else if (const auto* what = std::get_if<Collective>(&op.action)) {
      const Seconds alone = costs_.collective(what->kind, what->payload,
                                              devices_of(run, layout, place, what->communicator));
      end.waits_for_norm = end.waits_for_norm || what->communicator == kModelGroup;
      (end.waits_for_norm ? end.after_norm : end.before_norm) += alone;
    }
  }
  end.after_norm += end.dense.gather_after + end.experts.gather_after;
  BodyWriter tied(builder, "tied");
  sum_tied_embedding(run, shape, tied);
  const Body sum = tied.take();
  for (const Op& op : sum.streams.front().ops) {
    if (const auto* what = std::get_if<Collective>(&op.action)) {
      end.tied += costs_.collective(what->kind, what->payload,
                                    devices_of(run, layout, place, what->communicator));
    }
  }
}

// The GPUs of a node share what its host works with. Where all columns are alike none of them can
// begin before this rank may.
void StepEnds::add_host(const Run& run, const Layout& layout, const RankPlace& place,
                        const StageShape& shape, bool is_alike, StageEnd& end) {
  if (run.offload.delayed_update) {
    return;
  }
  ProgramBuilder builder;
  BodyWriter writer(builder, "host");
  HostOffload offload(run, writer);
  offload.update(shape);
  Bytes bytes;
  const Body body = writer.take();
  for (const Stream& stream : body.streams) {
    for (const Op& op : stream.ops) {
      const auto* copy = std::get_if<HostCopy>(&op.action);
      bytes += copy != nullptr && copy->direction == CopyDirection::inside_host
                   ? copy->bytes - Bytes(1)
                   : Bytes(0);
    }
  }
  const Rank rank = layout.rank(place.tensor, place.data, place.stage);
  const auto per_node = static_cast<std::size_t>(run.cluster.gpus_per_node);
  const std::size_t first = rank.index() / per_node * per_node;
  double sharing = 0;
  for (std::size_t i = first; i < std::min(first + per_node, layout.num_ranks()); ++i) {
    const bool is_counted = is_alike ? layout.stage(Rank(i)) == place.stage : Rank(i) == rank;
    sharing += is_counted ? 1 : 0;
  }
  end.host_work =
      Seconds(sharing * std::max(0.0, bytes.value) *
              costs_.host_seconds_per_byte(DeviceId(rank.index()), CopyDirection::inside_host));
}

}  // namespace foretrain
