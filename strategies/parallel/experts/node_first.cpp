// A token crosses the network once for every node where it has experts, along the rail of its rank,
// and is copied to their ranks inside while others cross. With routing that is limited to few nodes
// (DeepSeek-AI 2024, section 2.1.2 and 3.2.2: at most 4) that is less than one crossing for every
// expert.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "strategies/parallel/expert.hpp"
#include "strategies/parallel/experts/dispatch.hpp"

namespace foretrain {

// k of E experts without return; a node holds E / n of them, and is missed with probability
// C(E - E/n, k) / C(E, k).
double nodes_visited(const ExpertTraffic& traffic) {
  const auto nodes = static_cast<double>(traffic.nodes);
  const auto experts = static_cast<double>(traffic.experts);
  const double elsewhere = experts - experts / nodes;
  double missed = 1;
  for (std::int64_t i = 0; i < traffic.per_token; ++i) {
    missed *= std::max(0.0, elsewhere - static_cast<double>(i)) /
              std::max(1.0, experts - static_cast<double>(i));
  }
  const double visited = nodes * (1 - missed);
  return traffic.most_nodes > 0 ? std::min(visited, static_cast<double>(traffic.most_nodes))
                                : visited;
}

std::vector<Collective> dispatch_node_first(const ExpertTraffic& traffic) {
  // The load of the busiest rank, or what capacity leaves, is in the copies.
  const double over_mean =
      traffic.copies / (static_cast<double>(traffic.per_token) * traffic.tokens);
  return {{CollectiveKind::all_to_all, kExpertRailGroup,
           over_mean * nodes_visited(traffic) * traffic.tokens},
          {CollectiveKind::all_to_all, kExpertNodeGroup, traffic.copies}};
}

}  // namespace foretrain
