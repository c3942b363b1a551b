// What a collective sends where, rank by rank and chunk by chunk: the meaning of an algorithm. Its
// flows say how many bytes cross which links; tests check that both tell the same story.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain {

/// Chunks that go from one member of the group to another (numbered in the order of the group).
/// Number n + k is the switch of the k-th node, where switches add up and send to many.
struct Move {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::vector<std::uint32_t> chunks;
  bool reduces = false;  ///< added to what the receiver has; else instead of it
};

/// Moves of one step happen at once: all read what was there before the step.
///
/// Chunk c of a reduce-scatter ends, and of an all-gather starts, at member c * n / num_chunks. Of
/// an all-to-all, chunk i * n + j goes from member i to member j.
struct Moves {
  std::vector<double> shares;  ///< of the payload, by chunk
  std::vector<std::vector<Move>> steps;

  /// No moves yet, of chunks that are each 1 / parts of the payload.
  [[nodiscard]] static Moves of(std::size_t num_chunks, std::size_t parts);
  [[nodiscard]] std::size_t num_chunks() const { return shares.size(); }
  /// Adds a move to a step, which need not exist yet.
  void add(std::size_t step, Move move);
};

/// The chunks that end at (or start from) one position of a ring.
using ChunksAt = std::function<std::vector<std::uint32_t>(std::size_t position)>;

/// Partial sums go round a ring of members from step `first` on; after n - 1 steps each position
/// has the sum of its chunks.
void add_ring_scatter(Moves& moves, std::size_t first, const std::vector<std::uint32_t>& order,
                      const ChunksAt& chunks_at);
/// The chunks of each position go round the ring; after n - 1 steps every member has all.
void add_ring_gather(Moves& moves, std::size_t first, const std::vector<std::uint32_t>& order,
                     const ChunksAt& chunks_at);

}  // namespace foretrain
