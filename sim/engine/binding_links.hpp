// The links that can hold flows back: a network and its routes without all others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sim/engine/world.hpp"

namespace foretrain {

struct BindingLinks {
  Network network;
  std::vector<Route> routes;
};

/// Of links that the same routes cross, each equally often, all carry the same traffic: the one of
/// least capacity is full first, so the others never bind. A ring of thousands of ranks crosses
/// tens of thousands of links, and SimGrid looks through them for each one that it adds.
[[nodiscard]] BindingLinks binding_links(const Network& network, const std::vector<Route>& routes);

}  // namespace foretrain
