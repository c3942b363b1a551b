// SPDX-License-Identifier: Apache-2.0
#include "sim/study/search/stage_order.hpp"

#include <algorithm>

namespace foretrain {
namespace {

StageOrder summary_of(const std::vector<Slot>& slots, std::int32_t chunks) {
  StageOrder order;
  const auto size = static_cast<std::size_t>(chunks);
  order.counts.assign(size, {0, 0, 0, 0});
  order.leading.assign(size, 0);
  order.trailing.assign(size, 0);
  std::int32_t in_flight = 0;
  bool has_begun = false;
  for (const Slot& slot : slots) {
    const auto chunk = static_cast<std::size_t>(slot.chunk);
    ++order.counts[chunk][static_cast<std::size_t>(slot.kind)];
    order.has_pairs = order.has_pairs || slot.is_paired;
    if (slot.kind == SlotKind::forward) {
      order.first_chunk = has_begun ? order.first_chunk : slot.chunk;
      has_begun = true;
      ++in_flight;
    } else if (slot.kind == SlotKind::weight_gradient) {
      ++(has_begun ? order.trailing : order.leading)[chunk];
    } else {
      order.most_in_flight = std::max(order.most_in_flight, in_flight--);
      order.last_gradient = slot.chunk;
      std::fill(order.trailing.begin(), order.trailing.end(), 0);
    }
    if (slot.kind == SlotKind::weight_gradient || slot.kind == SlotKind::backward) {
      order.final_chunk = slot.chunk;
      order.is_final_split = slot.kind == SlotKind::weight_gradient;
    }
  }
  return order;
}

}  // namespace

const StageOrder& StageOrders::order(const PipelineSchedule& schedule, const PipelineShape& shape,
                                     std::int32_t stage) {
  const auto number = static_cast<std::int32_t>(&schedule - pipeline_schedules().data());
  const Key key = {
      number, shape.stages, shape.virtual_stages, shape.micro_batches, shape.micro_batch_group,
      stage};
  const auto found = orders_.find(key);
  if (found != orders_.end()) {
    return found->second;
  }
  return orders_.emplace(key, summary_of(schedule.order(shape, stage), shape.virtual_stages))
      .first->second;
}

}  // namespace foretrain
