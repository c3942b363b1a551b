// SPDX-License-Identifier: Apache-2.0
#include "strategies/parallel/rank_order.hpp"

#include <algorithm>

namespace foretrain {
namespace {

constexpr std::array<std::string_view, 4> kAxisNames = {"tensor", "context", "data", "pipeline"};

std::string_view name_of(Axis axis) { return kAxisNames[static_cast<std::size_t>(axis)]; }

}  // namespace

std::string name_of(const RankOrder& order) {
  std::string text;
  for (const Axis axis : order.axes) {
    text += (text.empty() ? "" : "-") + std::string(name_of(axis));
  }
  return text;
}

std::optional<RankOrder> parse_rank_order(std::string_view text) {
  RankOrder order;
  std::sort(order.axes.begin(), order.axes.end());
  do {
    if (name_of(order) == text) {
      return order;
    }
  } while (std::next_permutation(order.axes.begin(), order.axes.end()));
  return std::nullopt;
}

}  // namespace foretrain
