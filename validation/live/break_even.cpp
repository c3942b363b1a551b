// SPDX-License-Identifier: Apache-2.0
#include "validation/live/break_even.hpp"

#include <algorithm>
#include <cmath>

namespace foretrain::live {

std::optional<BytesPerSecond> break_even(std::vector<RatePair> pairs) {
  std::sort(pairs.begin(), pairs.end(),
            [](const RatePair& a, const RatePair& b) { return a.rate < b.rate; });
  const auto loss = [](const RatePair& pair) { return std::log(pair.compressed / pair.plain); };
  for (std::size_t i = 1; i < pairs.size(); ++i) {
    const double before = loss(pairs[i - 1]);
    const double after = loss(pairs[i]);
    if (before < 0 && after >= 0) {
      const double way = before / (before - after);
      return pairs[i - 1].rate * std::pow(pairs[i].rate / pairs[i - 1].rate, way);
    }
  }
  return std::nullopt;
}

}  // namespace foretrain::live
