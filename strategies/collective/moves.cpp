// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/moves.hpp"

#include <algorithm>
#include <utility>

namespace foretrain {
namespace {

// In each step position p passes on what lies `behind` positions before it, and one more with every
// step.
void add_ring_pass(Moves& moves, std::size_t first, const std::vector<std::uint32_t>& order,
                   const ChunksAt& chunks_at, std::size_t behind, bool reduces) {
  const std::size_t n = order.size();
  for (std::size_t step = 0; step + 1 < n; ++step) {
    for (std::size_t p = 0; p < n; ++p) {
      const std::size_t owner = (p + 2 * n - step - behind) % n;
      moves.add(first + step, {order[p], order[(p + 1) % n], chunks_at(owner), reduces});
    }
  }
}

}  // namespace

Moves Moves::of(std::size_t num_chunks, std::size_t parts) {
  Moves moves;
  moves.shares.assign(num_chunks, 1 / static_cast<double>(parts));
  return moves;
}

void Moves::add(std::size_t step, Move move) {
  if (steps.size() <= step) {
    steps.resize(step + 1);
  }
  steps[step].push_back(std::move(move));
}

void add_ring_scatter(Moves& moves, std::size_t first, const std::vector<std::uint32_t>& order,
                      const ChunksAt& chunks_at) {
  add_ring_pass(moves, first, order, chunks_at, 1, true);
}

void add_ring_gather(Moves& moves, std::size_t first, const std::vector<std::uint32_t>& order,
                     const ChunksAt& chunks_at) {
  add_ring_pass(moves, first, order, chunks_at, 0, false);
}

}  // namespace foretrain
