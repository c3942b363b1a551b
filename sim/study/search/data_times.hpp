// What data parallelism takes at least: gradients summed over who holds the same parameters, and
// parameters gathered from who shares them under ZeRO.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "sim/study/search/least_costs.hpp"
#include "strategies/parallel/data.hpp"
#include "strategies/stage.hpp"

namespace foretrain {

/// Of one chunk of a stage.
struct ChunkData {
  Seconds sum;              ///< of all its gradients, as they become ready
  Seconds last;             ///< of the block whose backward comes last
  Seconds last_split;       ///< and of the one whose weight gradients do
  Seconds gather;           ///< of all its parameters once, as forward does
  std::int64_t pieces = 0;  ///< in so many gathers
  Seconds gather_again;     ///< as backward does, which needs no embedding
  std::int64_t pieces_again = 0;
};

/// One kind of parameters of a stage, those of experts on a grid of their own or the rest.
struct DataTimes {
  bool is_overlapped = false;  ///< sums have a stream of their own
  std::vector<ChunkData> chunks;
  Seconds sums;           ///< of all chunks
  Seconds sum_at_once;    ///< of the whole stage's gradients in one piece
  Seconds sum_by_bytes;   ///< of them in however many pieces
  Seconds gathers;        ///< of all chunks, for a forward
  Seconds gathers_again;  ///< and for a backward
  Seconds gather_after;   ///< of updated parameters, where that waits for the update
};

[[nodiscard]] DataTimes dense_times(LeastCosts& costs, const Run& run, const Layout& layout,
                                    const RankPlace& place, const StageShape& shape);
/// Of the block whose gradients are ready last, after whole backwards or after weight gradients.
[[nodiscard]] inline Seconds last_sum(const DataTimes& times, std::size_t chunk, bool is_split) {
  return is_split ? times.chunks[chunk].last_split : times.chunks[chunk].last;
}
/// REQUIRES: has_expert_grid(run).
[[nodiscard]] DataTimes expert_times(LeastCosts& costs, const Run& run, const Layout& layout,
                                     const RankPlace& place, const StageShape& shape);

/// How often a step sums, and gathers.
struct DataPasses {
  double sums = 1;             ///< of all gradients
  double forward_gathers = 0;  ///< of all parameters, for forwards
  double backward_gathers = 0;
  double serial = 0;       ///< share of ZeRO-3's gathers that compute waits for
  Seconds host_per_piece;  ///< that it waits for before each of them
};
[[nodiscard]] DataPasses data_passes(const Run& run);

}  // namespace foretrain
