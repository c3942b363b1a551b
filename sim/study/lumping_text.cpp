// SPDX-License-Identifier: Apache-2.0
#include "sim/study/lumping_text.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

namespace foretrain {
namespace {

std::string with_commas(std::size_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

/// How many ranks along one axis share a timeline; nothing when that differs from one to another.
template <class RankAt>
std::optional<std::size_t> factor_along(std::size_t size, std::size_t lines, RankAt rank_at,
                                        const std::vector<Rank>& simulated) {
  std::optional<std::size_t> kinds;
  for (std::size_t line = 0; line < lines; ++line) {
    std::map<Rank, std::size_t> counts;
    for (std::size_t i = 0; i < size; ++i) {
      ++counts[simulated[rank_at(line, i).index()]];
    }
    const bool is_even = std::all_of(counts.begin(), counts.end(), [&](const auto& kind) {
      return kind.second * counts.size() == size;
    });
    if (!is_even || kinds.value_or(counts.size()) != counts.size()) {
      return std::nullopt;
    }
    kinds = counts.size();
  }
  return size / *kinds;
}

// The factors are told where they explain the whole reduction.
std::string factors_text(const Layout& layout, const std::vector<Rank>& simulated,
                         std::size_t num_simulated) {
  const auto data = factor_along(
      layout.data, layout.tensor * layout.pipeline,
      [&](std::size_t line, std::size_t i) {
        return layout.rank(line % layout.tensor, i, line / layout.tensor);
      },
      simulated);
  const auto tensor = factor_along(
      layout.tensor, layout.data * layout.pipeline,
      [&](std::size_t line, std::size_t i) {
        return layout.rank(i, line % layout.data, line / layout.data);
      },
      simulated);
  if (!data || !tensor || *data * *tensor * num_simulated != simulated.size()) {
    return "";
  }
  std::vector<std::string> factors;
  if (*data > 1) {
    factors.push_back(fmt::format("data x{}", *data));
  }
  if (*tensor > 1) {
    factors.push_back(fmt::format("tensor x{}", *tensor));
  }
  return fmt::format(" ({})", fmt::join(factors, ", "));
}

std::string reasons_text(std::vector<std::string> reasons) {
  constexpr std::size_t kMostTold = 4;
  if (reasons.size() > kMostTold) {
    const std::size_t others = reasons.size() - kMostTold;
    reasons.resize(kMostTold);
    reasons.push_back(fmt::format("{} more reason{}", others, others == 1 ? "" : "s"));
  }
  return reasons.empty() ? "" : fmt::format("; not lumped further: {}", fmt::join(reasons, "; "));
}

}  // namespace

std::vector<std::string> lumping_reasons(const Program& program,
                                         const std::vector<Difference>& differences) {
  std::set<BodyId> bodies;
  for (const RankBinding& rank : program.ranks) {
    bodies.insert(rank.body);
  }
  std::vector<std::string> reasons;
  if (bodies.size() > 1) {
    reasons.push_back(fmt::format("stages differ ({})", bodies.size()));
  }
  for (const Difference& difference : differences) {
    reasons.push_back(fmt::format("{} ({})", difference.cause, difference.num_classes));
  }
  return reasons;
}

std::string lumping_text(const Layout& layout, const std::vector<Rank>& simulated,
                         const std::vector<std::string>& reasons) {
  const std::size_t num_simulated = std::set(simulated.begin(), simulated.end()).size();
  const std::string ranks = with_commas(simulated.size());
  if (num_simulated == simulated.size()) {
    return fmt::format("{} ranks simulated, each on its own", ranks) + reasons_text(reasons);
  }
  return fmt::format("{} ranks -> {} simulated", ranks, with_commas(num_simulated)) +
         factors_text(layout, simulated, num_simulated) + reasons_text(reasons);
}

}  // namespace foretrain
