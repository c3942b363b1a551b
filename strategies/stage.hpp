// What all parts of a pipeline stage's body share: the run, the writer, slots and sizes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <numeric>
#include <vector>

#include "strategies/body_writer.hpp"
#include "strategies/pipeline/split_backward.hpp"
#include "strategies/plan.hpp"

namespace foretrain {

/// Slots of RankBinding::communicators in the bodies that strategies write.
inline constexpr std::uint32_t kTensorGroup = 0;
inline constexpr std::uint32_t kDataGroup = 1;
inline constexpr std::uint32_t kModelGroup = 2;
inline constexpr std::uint32_t kContextGroup = 3;  ///< where context > 1
inline constexpr std::uint32_t kShardGroup = 4;    ///< where ZeRO shards over part of the replicas
inline constexpr std::uint32_t kReplicaGroup = 5;  ///< likewise: who holds the same shard
inline constexpr std::uint32_t kParameterGroup = 6;  ///< who shares model states under ZeRO: a
                                                     ///< communicator of its own for gathers
inline constexpr std::uint32_t kEmbeddingGroup = 7;  ///< the first and the last stage
// Where experts have a grid of their own:
inline constexpr std::uint32_t kExpertGroup = 8;        ///< who shares the experts of a layer
inline constexpr std::uint32_t kExpertTensorGroup = 9;  ///< who splits each of them
inline constexpr std::uint32_t kExpertNodeGroup = 10;   ///< of kExpertGroup, those on one node
inline constexpr std::uint32_t kExpertRailGroup = 11;   ///< likewise, one of each node
inline constexpr std::uint32_t kExpertDataGroup = 12;   ///< who holds the same experts; and so on
inline constexpr std::uint32_t kExpertShardGroup = 13;
inline constexpr std::uint32_t kExpertReplicaGroup = 14;
inline constexpr std::uint32_t kExpertParameterGroup = 15;
inline constexpr std::uint32_t kSecondaryGroup = 16;  ///< who backward gathers from, where that is
                                                      ///< part of who shares model states
inline constexpr std::size_t kNumGroupSlots = 17;
/// Slots of RankBinding::peers; the last stage's next is the first (chunks go round), and so it is
/// with the ranks that share a sequence.
inline constexpr std::uint32_t kNextStage = 0;
inline constexpr std::uint32_t kPreviousStage = 1;
inline constexpr std::uint32_t kNextContext = 2;
inline constexpr std::uint32_t kPreviousContext = 3;

/// Layers that are computed alike, on one rank and for one micro-batch.
struct LayerShape {
  Work work;
  SplitBackward split;
  Bytes saved;                   ///< from forward to backward without recomputation
  Bytes kept;                    ///< the same where the layer is recomputed
  std::vector<Step> recomputed;  ///< what runs again before its backward
};

/// Model states and work of one rank of one stage.
struct StageShape {
  std::int64_t stage = 0;
  std::int64_t stages = 1;
  std::int64_t chunks = 1;                  ///< virtual stages
  std::vector<std::int64_t> places;         ///< in the model, by chunk
  std::int64_t num_places = 1;              ///< of the whole model
  std::vector<std::int64_t> layers;         ///< by chunk
  std::vector<std::int64_t> layers_before;  ///< in the model, by chunk
  bool has_embedding = false;               ///< at the first place
  bool has_head = false;                    ///< at the last place
  std::int64_t parameters = 0;              ///< on this rank
  std::int64_t expert_parameters = 0;       ///< of these, in experts on a grid of their own
  std::int64_t frozen = 0;                  ///< of them
  std::int64_t quantised = 0;               ///< of the frozen ones
  std::int64_t frozen_experts = 0;          ///< of the experts
  std::int64_t repeated =
      0;  ///< of the trained ones, with gradients to sum over tensor parallelism
  Work embedding;
  Work head;
  std::vector<LayerShape> kinds;           ///< all that the model has
  std::vector<std::size_t> kind_of_layer;  ///< of every layer of the model

  [[nodiscard]] std::int64_t trained() const { return parameters - frozen; }
  [[nodiscard]] std::int64_t trained_experts() const { return expert_parameters - frozen_experts; }
  [[nodiscard]] bool is_first(std::int32_t chunk) const { return place(chunk) == 0; }
  [[nodiscard]] bool is_last(std::int32_t chunk) const { return place(chunk) == num_places - 1; }
  [[nodiscard]] std::int64_t place(std::int32_t chunk) const {
    return places[static_cast<std::size_t>(chunk)];
  }
  [[nodiscard]] std::int64_t layers_in(std::int32_t chunk) const {
    return layers[static_cast<std::size_t>(chunk)];
  }
  [[nodiscard]] std::int64_t num_layers() const {
    return std::accumulate(layers.begin(), layers.end(), std::int64_t{0});
  }
  /// Layers of one kind that the rank has, in all its chunks.
  [[nodiscard]] std::int64_t num_layers_of(std::size_t kind) const;
  /// The layer with this number in the model.
  [[nodiscard]] const LayerShape& layer(std::int64_t number) const {
    return kinds[kind_of_layer[static_cast<std::size_t>(number)]];
  }
  /// Global number of the i-th layer of a chunk, from 0.
  [[nodiscard]] std::int64_t layer_number(std::int32_t chunk, std::int64_t i) const {
    return layers_before[static_cast<std::size_t>(chunk)] + i;
  }
};

/// How a rank of this run sees the model.
[[nodiscard]] Shard shard_of(const Run& run);
[[nodiscard]] StageShape stage_shape(const Run& run, std::int64_t stage);

/// Bytes of the whole residual stream that a work hands on (Work::stream_elements).
[[nodiscard]] Bytes stream_bytes(const Run& run, const Work& work);

/// Whether a rank sums only its shard of the gradients: from ZeRO-2 on, but a pipeline reduces
/// after the last micro-batch and keeps whole sums until then, as a run may ask for.
[[nodiscard]] bool shards_gradients(const Run& run);

/// The whole step of one rank of a stage.
[[nodiscard]] Body stage_body(const Run& run, std::int64_t stage, ProgramBuilder& builder);

}  // namespace foretrain
