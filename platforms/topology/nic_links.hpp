// The two links of every NIC, which all fabrics have: out of the node and into it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platforms/topology/topology.hpp"

namespace foretrain {

class NicLinks {
 public:
  NicLinks(std::span<const NicPort> ports, Network& network) : first_(network.links.size()) {
    network.links.reserve(first_ + 2 * ports.size());
    for (const NicPort& port : ports) {
      (void)add_link(network, port.name() + " out", port.capacity);
      (void)add_link(network, port.name() + " in", port.capacity);
    }
  }

  [[nodiscard]] LinkId out(std::size_t port) const { return LinkId(first_ + 2 * port); }
  [[nodiscard]] LinkId in(std::size_t port) const { return LinkId(first_ + 2 * port + 1); }

 private:
  std::size_t first_;  // those of a port follow one another
};

}  // namespace foretrain
