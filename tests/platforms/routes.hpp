// Routes and rings of machines, as tests compare them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "platforms/cluster.hpp"
#include "platforms/topology/topology.hpp"

namespace foretrain::testing {

/// The links that a message between two devices crosses, in order.
inline std::vector<std::string> route_names(const Machine& machine, std::size_t from,
                                            std::size_t to) {
  std::vector<LinkId> links;
  machine.append_route(DeviceId(from), DeviceId(to), links);
  std::vector<std::string> names;
  names.reserve(links.size());
  for (const LinkId link : links) {
    names.push_back(machine.network().links[link.index()].name);
  }
  return names;
}

inline double total_GBps(const std::vector<RingOrder>& rings) {
  BytesPerSecond sum;
  for (const RingOrder& ring : rings) {
    sum += ring.rate;
  }
  return sum / 1_GBps;
}

}  // namespace foretrain::testing
