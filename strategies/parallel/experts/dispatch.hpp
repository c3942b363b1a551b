// The ways of tokens to their experts: which collectives carry them there. One file each.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/reader.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// What one rank sends to the experts of a layer.
struct ExpertTraffic {
  Bytes tokens;                 ///< of this rank, each once
  Bytes copies;                 ///< of these, one for each expert that a token visits
  std::int64_t ranks = 1;       ///< that share the experts
  std::int64_t nodes = 1;       ///< that they are on, evenly
  std::int64_t experts = 1;     ///< of the layer
  std::int64_t per_token = 1;   ///< experts that a token visits
  std::int64_t most_nodes = 0;  ///< that these may be on; 0: any
};

struct ExpertDispatch {
  std::string_view name;
  std::string_view sentence;
  bool needs_nodes = false;   ///< the ranks must be on nodes in equal numbers
  bool is_pipelined = false;  ///< the collectives forward token by token: they run side by side
  /// The collectives on the way to the experts, in order. On the way back they come in reverse, a
  /// gather as a scatter.
  std::vector<Collective> (*way)(const ExpertTraffic& traffic);
};

/// All ways; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const ExpertDispatch> expert_dispatches();
/// REQUIRES: `name` is in the table.
[[nodiscard]] const ExpertDispatch& expert_dispatch(std::string_view name);
/// The key expert_dispatch of a stack.
[[nodiscard]] std::string read_expert_dispatch(config::Reader& stack);

// The implementations, one file each.
[[nodiscard]] std::vector<Collective> dispatch_all_to_all(const ExpertTraffic& traffic);
[[nodiscard]] std::vector<Collective> dispatch_all_gather(const ExpertTraffic& traffic);
[[nodiscard]] std::vector<Collective> dispatch_node_first(const ExpertTraffic& traffic);

/// Nodes that the experts of a token are on, in the mean, when all experts are equally likely.
[[nodiscard]] double nodes_visited(const ExpertTraffic& traffic);

}  // namespace foretrain
