// One layout of a run, as the bounds see it: what each chunk of each stage takes and holds, and how
// long messages between stages travel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "sim/study/search/block_times.hpp"

namespace foretrain {

/// A chunk of layers of one stage, for one micro-batch.
struct ChunkTimes {
  std::int64_t place = 0;  ///< in the model
  Seconds host;            ///< before its forward
  PassTime forward;
  PassTime backward;
  PassTime input_gradient;
  PassTime weight_gradient;
  Seconds first_gradients;    ///< of its backward, until the first block's gradients are there
  Seconds last_forward;       ///< of its forward, the last block's part
  double gathered = 0;        ///< parameters that ZeRO-3 gathers, without experts on other ranks
  double largest_gather = 0;  ///< of one block
  Bytes kept;                 ///< from forward to backward
  Bytes made_again;           ///< at some time of its backward, at least
  Bytes stored;               ///< from input gradients to weight gradients
  Seconds message;       ///< its activations on their way to the next place; 0 to the same stage
  Seconds message_back;  ///< its gradients on their way to the place before
};

/// A column of ranks: one of each stage, which hand activations to one another.
struct RankColumn {
  std::vector<RankPlace> ranks;       ///< by stage
  std::vector<std::uint32_t> views;   ///< by stage: a number of its hardware and groups
  std::vector<LeastMessage> to_next;  ///< by stage; the last one's next is the first
  std::vector<LeastMessage> to_previous;
};

/// The grid of ranks of a layout, and columns that stand for all: a step is as long as for each.
struct RankGrid {
  Layout layout;
  std::vector<RankColumn> columns;
};

/// The chunks of all stages of one column.
struct PipelineTimes {
  std::size_t stages = 1;
  std::size_t chunks_per_stage = 1;
  std::vector<ChunkTimes> chunks;  ///< [chunk + stage x chunks_per_stage]
  /// By lane and place, the index of a chunk. There are two lanes where micro-batches start at both
  /// ends, else one.
  std::vector<std::vector<std::size_t>> lanes;
  /// By chunk: forwards and messages of the places before it, and input gradients and messages of
  /// all places after it, down to it.
  std::vector<Seconds> until_forward;
  std::vector<Seconds> after_gradient;  ///< of the places before it: what a gradient has to go yet

  [[nodiscard]] const ChunkTimes& at(std::size_t stage, std::int32_t chunk) const {
    return chunks[static_cast<std::size_t>(chunk) + stage * chunks_per_stage];
  }
};

class LaidOutTable {
 public:
  /// REQUIRES: outlives this.
  explicit LaidOutTable(LeastCosts& costs) : costs_(costs), blocks_(costs) {}

  /// The reference stays good.
  const RankGrid& grid(const Run& run);
  /// Good until the next call.
  const PipelineTimes& pipeline(const Run& run, const RankGrid& grid, std::size_t column);

 private:
  using GridKey = std::array<std::int64_t, 6>;
  using PipelineKey = std::array<std::int64_t, 12>;

  RankGrid make_grid(const Run& run);
  RankColumn make_column(const Run& run, const Layout& layout, std::size_t tensor,
                         std::size_t data);
  [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> unlike_columns(
      const Layout& layout) const;
  std::uint32_t view(const Run& run, const Layout& layout, const RankPlace& place);

  LeastCosts& costs_;
  BlockTable blocks_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> views_;
  std::map<GridKey, RankGrid> grids_;
  PipelineKey last_key_{};
  PipelineTimes last_;  // of last_key_
};

}  // namespace foretrain
