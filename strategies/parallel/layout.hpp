// Which rank sits where in the grid of tensor, context, data, expert and pipeline parallelism.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "sim/core/ids.hpp"
#include "strategies/parallel/rank_order.hpp"

namespace foretrain {

/// Ranks are numbered by tensor, context, data and pipeline coordinate, in `order`. Replicas (data
/// times context coordinate) count context innermost.
///
/// Experts have a grid of their own over the ranks of a stage, which count as places: tensor
/// coordinate innermost, then replica. Neighbours split an expert, then come the ranks that share
/// the experts of a layer, then those that hold the same ones (as in Megatron-Core).
struct Layout {
  std::size_t tensor = 1;
  std::size_t data = 1;  ///< replicas: ranks that hold the same parameters
  std::size_t pipeline = 1;
  std::size_t context = 1;  ///< of the replicas, neighbours that share a sequence; divides data
  std::size_t shard = 1;    ///< of the replicas, neighbours that share model states; divides data
  RankOrder order = {};
  std::size_t copies = 1;     ///< 2: stage s and stage pipeline - 1 - s hold the same parameters
  std::size_t secondary = 0;  ///< of who shares states, who backward gathers from; 0: all of them

  [[nodiscard]] std::size_t num_ranks() const { return tensor * data * pipeline; }
  [[nodiscard]] Rank rank(std::size_t tensor_index, std::size_t data_index,
                          std::size_t stage) const {
    return Rank(tensor_index * stride(Axis::tensor) + data_index % context * stride(Axis::context) +
                data_index / context * stride(Axis::data) + stage * stride(Axis::pipeline));
  }
  [[nodiscard]] std::size_t tensor_index(Rank rank) const { return coordinate(rank, Axis::tensor); }
  [[nodiscard]] std::size_t data_index(Rank rank) const {
    return coordinate(rank, Axis::context) + context * coordinate(rank, Axis::data);
  }
  [[nodiscard]] std::size_t stage(Rank rank) const { return coordinate(rank, Axis::pipeline); }

  /// Ranks of a stage.
  [[nodiscard]] std::size_t num_places() const { return tensor * data; }
  [[nodiscard]] Rank at_place(std::size_t place, std::size_t stage) const {
    return rank(place % tensor, place / tensor, stage);
  }
  [[nodiscard]] std::size_t place_of(Rank rank) const {
    return tensor_index(rank) + tensor * data_index(rank);
  }
  /// `count` places from `first` on, `step` apart.
  [[nodiscard]] std::vector<Rank> places(std::size_t first, std::size_t count, std::size_t step,
                                         std::size_t stage) const;

  /// The stage that holds the same parameters, itself where there is one copy.
  [[nodiscard]] std::size_t twin(std::size_t stage) const {
    return copies > 1 ? pipeline - 1 - stage : stage;
  }

  /// The members at a stage and at its twin, if it has one; the earlier stage first.
  template <class Members>
  [[nodiscard]] std::vector<Rank> with_twin(std::size_t stage, Members at) const {
    const std::size_t other = twin(stage);
    std::vector<Rank> members = at(std::min(stage, other));
    if (other != stage) {
      const std::vector<Rank> rest = at(std::max(stage, other));
      members.insert(members.end(), rest.begin(), rest.end());
    }
    return members;
  }

  [[nodiscard]] std::vector<Rank> tensor_group(std::size_t data_index, std::size_t stage) const;
  /// All ranks with the same parameters, those of the earlier stage first.
  [[nodiscard]] std::vector<Rank> data_group(std::size_t tensor_index, std::size_t stage) const;
  /// Neighbours among the replicas that share a sequence, or model states.
  [[nodiscard]] std::vector<Rank> context_group(std::size_t tensor_index, std::size_t group,
                                                std::size_t stage) const;
  [[nodiscard]] std::vector<Rank> shard_group(std::size_t tensor_index, std::size_t group,
                                              std::size_t stage) const;
  [[nodiscard]] std::vector<Rank> secondary_group(std::size_t tensor_index, std::size_t group,
                                                  std::size_t stage) const;
  /// The ranks that hold the same shard, likewise.
  [[nodiscard]] std::vector<Rank> replica_group(std::size_t tensor_index, std::size_t offset,
                                                std::size_t stage) const;
  /// The first and the last stage of one column, which share tied embeddings.
  [[nodiscard]] std::vector<Rank> embedding_group(std::size_t tensor_index,
                                                  std::size_t data_index) const;
  /// All ranks of one replica, which share the norm of the gradients.
  [[nodiscard]] std::vector<Rank> model_group(std::size_t data_index) const;

 private:
  [[nodiscard]] std::size_t size(Axis axis) const;
  /// Ranks between neighbours on an axis.
  [[nodiscard]] std::size_t stride(Axis axis) const;
  [[nodiscard]] std::size_t coordinate(Rank rank, Axis axis) const {
    return rank.index() / stride(axis) % size(axis);
  }
  /// `count` replicas next to one another.
  [[nodiscard]] std::vector<Rank> neighbours(std::size_t tensor_index, std::size_t first,
                                             std::size_t count, std::size_t stage) const;
};

}  // namespace foretrain
