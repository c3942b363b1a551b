// Which rank sits where in the grid of tensor, context, data and pipeline parallelism.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "sim/core/ids.hpp"

namespace foretrain {

/// Ranks are numbered with tensor parallelism innermost, then data, then pipeline, as Megatron-LM
/// and DeepSpeed do: tensor groups stay inside a node, stages are far apart.
struct Layout {
  std::size_t tensor = 1;
  std::size_t data = 1;  ///< replicas: ranks that hold the same parameters
  std::size_t pipeline = 1;
  std::size_t context = 1;  ///< of the replicas, neighbours that share a sequence; divides data
  std::size_t shard = 1;    ///< of the replicas, neighbours that share model states; divides data

  [[nodiscard]] std::size_t num_ranks() const { return tensor * data * pipeline; }
  [[nodiscard]] Rank rank(std::size_t tensor_index, std::size_t data_index,
                          std::size_t stage) const {
    return Rank(tensor_index + tensor * (data_index + data * stage));
  }
  [[nodiscard]] std::size_t tensor_index(Rank rank) const { return rank.index() % tensor; }
  [[nodiscard]] std::size_t data_index(Rank rank) const { return rank.index() / tensor % data; }
  [[nodiscard]] std::size_t stage(Rank rank) const { return rank.index() / (tensor * data); }

  [[nodiscard]] std::vector<Rank> tensor_group(std::size_t data_index, std::size_t stage) const;
  [[nodiscard]] std::vector<Rank> data_group(std::size_t tensor_index, std::size_t stage) const;
  /// Neighbours among the replicas that share a sequence, or model states.
  [[nodiscard]] std::vector<Rank> context_group(std::size_t tensor_index, std::size_t group,
                                                std::size_t stage) const;
  [[nodiscard]] std::vector<Rank> shard_group(std::size_t tensor_index, std::size_t group,
                                              std::size_t stage) const;
  /// The ranks that hold the same shard.
  [[nodiscard]] std::vector<Rank> replica_group(std::size_t tensor_index, std::size_t offset,
                                                std::size_t stage) const;
  /// The first and the last stage of one column, which share tied embeddings.
  [[nodiscard]] std::vector<Rank> embedding_group(std::size_t tensor_index,
                                                  std::size_t data_index) const;
  /// All ranks of one replica, which share the norm of the gradients.
  [[nodiscard]] std::vector<Rank> model_group(std::size_t data_index) const;

 private:
  /// `count` replicas next to one another.
  [[nodiscard]] std::vector<Rank> neighbours(std::size_t tensor_index, std::size_t first,
                                             std::size_t count, std::size_t stage) const;
};

}  // namespace foretrain
