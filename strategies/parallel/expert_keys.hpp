// The keys of a run file about experts, context parallelism and the order of the ranks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/config/reader.hpp"
#include "strategies/parallel/rank_order.hpp"

namespace foretrain {

/// Of [parallel].
struct ExpertKeys {
  std::int64_t degree = 1;             ///< ranks that share the experts of a layer
  std::optional<std::int64_t> tensor;  ///< ranks that split each expert; by default as the rest
  config::Position degree_position;
  config::Position tensor_position;
};

/// Of [training]: how many rows an expert takes.
struct ExpertCapacity {
  double factor = 0;       ///< over the mean; 0: as many as come
  bool is_padded = false;  ///< and never fewer
  config::Position position;
};

/// Of [parallel].
struct GridKeys {
  std::string context_kind = "all-gather";
  RankOrder order;
  config::Position context_kind_position;
  config::Position order_position;
};

[[nodiscard]] ExpertKeys read_expert_keys(config::Reader& parallel);
[[nodiscard]] ExpertCapacity read_expert_capacity(config::Reader& training);
[[nodiscard]] GridKeys read_grid_keys(config::Reader& parallel);

struct Run;
/// Checks across fields of the keys above, of a run whose degrees divide its GPUs.
void check_experts(const Run& run, config::Diagnostics& diagnostics);
void check_context_kind(const Run& run, config::Diagnostics& diagnostics);

}  // namespace foretrain
