// Recomputation: what of a layer backward computes again, and what is kept instead of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "strategies/plan.hpp"

namespace foretrain {

struct RecomputePolicy {
  std::string_view name;
  std::string_view sentence;
  /// What runs again before the backward of a layer, in the order of its forward.
  std::vector<Step> (*again)(const Run& run, const Work& layer);
  /// What the layer keeps from forward to backward.
  Bytes (*kept)(const Run& run, const Work& layer);
  /// Products that run again for one sequence, were it in every layer, counted as model FLOPs are.
  Flops (*flops)(const Run& run);
  Recompute value;
};

/// All policies; the visible table is in catalog.cpp.
[[nodiscard]] std::span<const RecomputePolicy> recompute_policies();
[[nodiscard]] const RecomputePolicy& recompute_policy(Recompute value);

/// All that a layer keeps without recomputation.
[[nodiscard]] Bytes saved_bytes(const Work& work);

/// Whether a layer is among those that the policy is for: each n-th of the model, or the first n of
/// its chunk, where it stands at `place` from 0.
[[nodiscard]] bool is_recomputed(const Run& run, std::int64_t layer_number, std::int64_t place);
/// The share of the model's layers that are.
[[nodiscard]] double recomputed_share(const Run& run);
/// FLOPs of a step that are done again.
[[nodiscard]] Flops recomputed_flops(const Run& run);

/// Reads training.recompute and its refinements.
void read_recompute(config::Reader& reader, Training& training);

// The implementations, one file each.
namespace recompute {
[[nodiscard]] std::vector<Step> none_again(const Run& run, const Work& layer);
[[nodiscard]] Bytes none_kept(const Run& run, const Work& layer);
[[nodiscard]] Flops none_flops(const Run& run);
[[nodiscard]] std::vector<Step> selective_again(const Run& run, const Work& layer);
[[nodiscard]] Bytes selective_kept(const Run& run, const Work& layer);
[[nodiscard]] Flops selective_flops(const Run& run);
[[nodiscard]] std::vector<Step> operators_again(const Run& run, const Work& layer);
[[nodiscard]] Bytes operators_kept(const Run& run, const Work& layer);
[[nodiscard]] Flops operators_flops(const Run& run);
[[nodiscard]] std::vector<Step> full_again(const Run& run, const Work& layer);
[[nodiscard]] Bytes full_kept(const Run& run, const Work& layer);
[[nodiscard]] Flops full_flops(const Run& run);
[[nodiscard]] std::vector<Step> above_again(const Run& run, const Work& layer);
[[nodiscard]] Bytes above_kept(const Run& run, const Work& layer);
[[nodiscard]] Flops above_flops(const Run& run);
}  // namespace recompute

}  // namespace foretrain
