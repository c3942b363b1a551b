// What the blocks of a model take at least on one rank for one micro-batch, and what they
// hold: from the steps that the simulator's own bodies are written from.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "sim/study/search/least_costs.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// One pass in the compute stream: all of it, and its kernels and delays alone.
using PassTime = ComputeTime;

/// A layer of one kind, the embedding or the head.
struct BlockTimes {
  PassTime forward;
  PassTime backward;               ///< whole
  PassTime input_gradient;         ///< where a schedule splits it,
  PassTime weight_gradient;        ///< with the gradients joining their sum
  PassTime again;                  ///< what backward computes again, where the block is recomputed
  bool is_trained_through = true;  ///< gradients pass; a frozen layer may have no backward at all
  double gathered = 0;  ///< parameters that ZeRO-3 gathers, without experts on other ranks
  Bytes saved;          ///< from forward to backward, on the device
  Bytes kept;           ///< the same where the block is recomputed
  Bytes made_again;     ///< for the time of its backward, where it is
  Bytes stored;         ///< from input gradients to weight gradients
  Bytes stream;         ///< that it hands on
};

/// All blocks of a model: the kinds of layers, then embedding and head.
struct Blocks {
  std::vector<BlockTimes> layers;  ///< by kind
  std::vector<std::size_t> kind_of_layer;
  BlockTimes embedding;
  BlockTimes head;
  Seconds arrival;  ///< gathering what came from another stage, where the stack scatters it
  Bytes logits;     ///< of the head's saved
};

/// Works out blocks, each once for all layouts that agree in what they depend on.
class BlockTable {
 public:
  /// REQUIRES: outlives this; all runs asked for are of its machine and differ in their layout
  /// only.
  explicit BlockTable(LeastCosts& costs) : costs_(costs) {}

  /// `view` is a number for the rank's hardware and its groups; `stage_of_head` holds the head.
  /// REQUIRES: equal views of equal runs take alike. The reference stays good.
  const Blocks& blocks(const Run& run, const Layout& layout, const RankPlace& place,
                       std::uint32_t view, std::int64_t stage_of_head);

 private:
  using Key = std::array<std::int64_t, 9>;

  LeastCosts& costs_;
  std::map<Key, Blocks> blocks_;
};

}  // namespace foretrain
