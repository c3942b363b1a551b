// What nothing beats in GPUs, time and memory at once.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "sim/study/search/search.hpp"

namespace foretrain {
namespace {

bool is_no_worse(const RankedLayout& a, const RankedLayout& b) {
  return a.layout.gpus <= b.layout.gpus && a.outcome.step_time <= b.outcome.step_time &&
         a.outcome.memory_peak <= b.outcome.memory_peak;
}

bool beats(const RankedLayout& a, const RankedLayout& b) {
  return is_no_worse(a, b) && !is_no_worse(b, a);
}

bool is_before(const RankedLayout& a, const RankedLayout& b) {
  return a.layout.gpus != b.layout.gpus ? a.layout.gpus < b.layout.gpus
                                        : a.outcome.step_time < b.outcome.step_time;
}

}  // namespace

std::vector<RankedLayout> pareto_front(const std::vector<SearchResult>& results) {
  std::vector<RankedLayout> all;
  for (const SearchResult& result : results) {
    all.insert(all.end(), result.simulated.begin(), result.simulated.end());
  }
  std::stable_sort(all.begin(), all.end(), is_before);
  std::vector<RankedLayout> front;
  for (const RankedLayout& candidate : all) {
    const auto is_beaten_by = [&](const RankedLayout& other) { return beats(other, candidate); };
    const auto is_as_good = [&](const RankedLayout& other) {  // one layout stands for equals
      return is_no_worse(other, candidate);
    };
    if (std::none_of(all.begin(), all.end(), is_beaten_by) &&
        std::none_of(front.begin(), front.end(), is_as_good)) {
      front.push_back(candidate);
    }
  }
  return front;
}

}  // namespace foretrain
