// In which order the axes of parallelism number the ranks.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace foretrain {

enum class Axis : std::uint8_t { tensor, context, data, pipeline };

/// From the axis whose ranks are neighbours to the one whose ranks are farthest apart. The default
/// is that of Megatron-LM and DeepSpeed: tensor groups stay inside a node, stages are far apart.
/// Llama 3 has data parallelism outside of the pipeline (Llama Team 2024, section 3.3.2).
struct RankOrder {
  std::array<Axis, 4> axes = {Axis::tensor, Axis::context, Axis::data, Axis::pipeline};
  bool operator==(const RankOrder&) const = default;
};

/// As in a run file: "tensor-context-data-pipeline".
[[nodiscard]] std::string name_of(const RankOrder& order);
/// Nothing where the text is not the four axes, each once, joined by hyphens.
[[nodiscard]] std::optional<RankOrder> parse_rank_order(std::string_view text);

}  // namespace foretrain
