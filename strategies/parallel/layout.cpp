// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/layout.hpp"

#include "sim/core/error.hpp"

namespace foretrain {

std::size_t Layout::size(Axis axis) const {
  switch (axis) {
    case Axis::tensor:
      return tensor;
    case Axis::context:
      return context;
    case Axis::data:
      return data / context;
    case Axis::pipeline:
      return pipeline;
  }
  throw InternalError("no such axis");
}

std::size_t Layout::stride(Axis axis) const {
  std::size_t ranks = 1;
  for (const Axis inner : order.axes) {
    if (inner == axis) {
      break;
    }
    ranks *= size(inner);
  }
  return ranks;
}

std::vector<Rank> Layout::places(std::size_t first, std::size_t count, std::size_t step,
                                 std::size_t stage) const {
  std::vector<Rank> members;
  members.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    members.push_back(at_place(first + i * step, stage));
  }
  return members;
}

std::vector<Rank> Layout::tensor_group(std::size_t data_index, std::size_t stage) const {
  std::vector<Rank> members;
  for (std::size_t t = 0; t < tensor; ++t) {
    members.push_back(rank(t, data_index, stage));
  }
  return members;
}

std::vector<Rank> Layout::data_group(std::size_t tensor_index, std::size_t stage) const {
  return with_twin(stage,
                   [&](std::size_t holder) { return neighbours(tensor_index, 0, data, holder); });
}

std::vector<Rank> Layout::neighbours(std::size_t tensor_index, std::size_t first, std::size_t count,
                                     std::size_t stage) const {
  const std::size_t origin = rank(tensor_index, 0, stage).index();
  const std::size_t inside = stride(Axis::context);
  const std::size_t across = stride(Axis::data);
  std::vector<Rank> members;
  members.reserve(count);
  for (std::size_t d = first; d < first + count; ++d) {
    members.emplace_back(origin + d % context * inside + d / context * across);
  }
  return members;
}

std::vector<Rank> Layout::context_group(std::size_t tensor_index, std::size_t group,
                                        std::size_t stage) const {
  return neighbours(tensor_index, group * context, context, stage);
}

std::vector<Rank> Layout::shard_group(std::size_t tensor_index, std::size_t group,
                                      std::size_t stage) const {
  return neighbours(tensor_index, group * shard, shard, stage);
}

std::vector<Rank> Layout::secondary_group(std::size_t tensor_index, std::size_t group,
                                          std::size_t stage) const {
  return neighbours(tensor_index, group * secondary, secondary, stage);
}

std::vector<Rank> Layout::replica_group(std::size_t tensor_index, std::size_t offset,
                                        std::size_t stage) const {
  return with_twin(stage, [&](std::size_t holder) {
    std::vector<Rank> members;
    for (std::size_t d = offset; d < data; d += shard) {
      members.push_back(rank(tensor_index, d, holder));
    }
    return members;
  });
}

std::vector<Rank> Layout::embedding_group(std::size_t tensor_index, std::size_t data_index) const {
  return {rank(tensor_index, data_index, 0), rank(tensor_index, data_index, pipeline - 1)};
}

std::vector<Rank> Layout::model_group(std::size_t data_index) const {
  std::vector<Rank> members;
  for (std::size_t stage = 0; stage < pipeline; ++stage) {
    for (std::size_t t = 0; t < tensor; ++t) {
      members.push_back(rank(t, data_index, stage));
    }
  }
  return members;
}

}  // namespace foretrain
