// The table of blocks: what can stand in a layer as its mixer or as its feed-forward part.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "models/blocks/blocks.hpp"
#include "models/model.hpp"

namespace foretrain {

/// A mixer lets tokens see one another; a feed-forward block works on each token by itself.
enum class BlockRole : std::uint8_t { mixer, feed_forward };

/// One block of one layer, without the norms of the residual stream.
struct BlockCount {
  std::int64_t parameters = 0;
  std::int64_t visited = 0;  ///< of those, what one token is multiplied with
  double products = 0;       ///< multiply-adds of one token with weights
  double core = 0;           ///< multiply-adds of one token with other tokens
};

/// A size that only one block has, as a key of a model file.
struct SizeKey {
  std::string_view key;
  config::Range range;
  std::optional<std::int64_t> fallback;  ///< required when absent
};

namespace blocks {
struct Branch;

/// What a block's file provides. The models that it is shown are those of layer_model().
struct BlockFunctions {
  Branch (*branch)(const Model&, const Shard&) = nullptr;
  BlockCount (*count)(const Model&, std::int64_t sequence_length) = nullptr;
  std::span<const SizeKey> sizes;  ///< of BlockChoice::sizes, in this order
  /// Checks the block's sizes against the model's; null where there is nothing to check.
  void (*check)(config::Reader& reader, const Model& model) = nullptr;
  /// Passes a state along the sequence: ranks that share one would have to wait for one another.
  bool has_state = false;
};
}  // namespace blocks

struct BlockKind {
  std::string_view name;
  std::string_view sentence;
  BlockRole role;
  blocks::BlockFunctions (*functions)();
};

[[nodiscard]] std::span<const BlockKind> block_kinds();
/// REQUIRES: a name of the table.
[[nodiscard]] const BlockKind& block_kind(std::string_view name);

/// The rows of a model whose layers are alike; experts take the place of its feed-forward block.
[[nodiscard]] const BlockKind& mixer_of(const Model& model);
[[nodiscard]] const BlockKind& feed_forward_of(const Model& model);

}  // namespace foretrain
