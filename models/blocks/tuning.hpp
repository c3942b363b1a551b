// Fine-tuning: what of a block is frozen, adapters beside its linear layers, quantised weights.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "models/blocks/blocks.hpp"

namespace foretrain {

/// A linear layer that may have an adapter.
struct AdaptedLinear {
  std::string_view target;  ///< the word of a run file: "qkv"
  std::string_view linear;  ///< the step of its forward product
  std::string_view saved;   ///< the tensor that only its weight gradient needs
  bool is_row_parallel = false;
};
/// All of them.
[[nodiscard]] std::span<const AdaptedLinear> adapted_linears();

struct BlockTuning {
  bool is_frozen = false;
  /// Whether anything is trained in this block or before it, so that gradients pass through.
  bool has_backward = true;
  std::int64_t adapter_rank = 0;  ///< 0: no adapters
  std::span<const std::string_view> adapter_targets;
  double quantised_bytes = 0;  ///< of a frozen weight of a linear layer; 0: not quantised
};

/// The block with these parts left out and added:
/// frozen weights have no gradients, and the tensors that only these need are not kept; an adapter
/// of rank r is a product with r x k and one with n x r beside a product with n x k, forward and
/// backward (Hu et al. 2022, section 4.1); a quantised weight is written out in 16 bit before every
/// product that it is in (Dettmers et al. 2023, section 3).
/// Under tensor parallelism the half of an adapter that faces the outside of the region is repeated
/// on every rank, so that no activation is sent for it.
[[nodiscard]] Work tuned(const Work& work, const BlockTuning& tuning);

}  // namespace foretrain
