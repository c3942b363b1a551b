// SPDX-License-Identifier: Apache-2.0
#include "sim/engine/binding_links.hpp"

#include <map>
#include <optional>
#include <utility>

namespace foretrain {
namespace {

/// A route or link, and how often they meet.
template <class T>
using Times = std::vector<std::pair<T, std::uint32_t>>;

/// The links of a route in the order in which it first names them.
Times<LinkId> counted(const std::vector<LinkId>& links, std::vector<std::uint32_t>& times) {
  for (const LinkId link : links) {
    ++times[link.index()];
  }
  Times<LinkId> found;
  for (const LinkId link : links) {
    if (const std::uint32_t count = std::exchange(times[link.index()], 0); count > 0) {
      found.emplace_back(link, count);
    }
  }
  return found;
}

}  // namespace

BindingLinks binding_links(const Network& network, const std::vector<Route>& routes) {
  std::vector<std::uint32_t> times(network.links.size(), 0);
  std::vector<Times<std::size_t>> traffic(network.links.size());  // by link
  for (std::size_t route = 0; route < routes.size(); ++route) {
    for (const auto& [link, count] : counted(routes[route].links, times)) {
      traffic[link.index()].emplace_back(route, count);
    }
  }
  std::map<Times<std::size_t>, LinkId> slowest;
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    const auto [place, is_new] = slowest.try_emplace(traffic[i], LinkId(i));
    if (network.links[i].capacity < network.links[place->second.index()].capacity) {
      place->second = LinkId(i);
    }
  }
  BindingLinks out;
  out.routes.resize(routes.size());
  for (std::size_t route = 0; route < routes.size(); ++route) {
    out.routes[route].rate_limit = routes[route].rate_limit;
  }
  for (std::size_t i = 0; i < traffic.size(); ++i) {
    if (traffic[i].empty() || slowest.at(traffic[i]) != LinkId(i)) {
      continue;
    }
    const LinkId id(out.network.links.size());
    out.network.links.push_back({"", network.links[i].capacity});
    for (const auto& [route, count] : traffic[i]) {
      out.routes[route].links.insert(out.routes[route].links.end(), count, id);
    }
  }
  return out;
}

}  // namespace foretrain
