// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/lockstep.hpp"

#include <algorithm>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

BytesPerSecond capacity(LinkId link, const Machine& machine) {
  return machine.network().links[link.index()].capacity;
}

// The least capacity of a link over the number of times that it is listed.
BytesPerSecond rate_alone(std::vector<LinkId> links, const Machine& machine) {
  std::sort(links.begin(), links.end());
  BytesPerSecond rate = capacity(links.front(), machine);
  for (auto first = links.begin(); first != links.end();) {
    const auto last = std::find_if(first, links.end(), [&](LinkId link) { return link != *first; });
    rate = std::min(rate, capacity(*first, machine) / static_cast<double>(last - first));
    first = last;
  }
  return rate;
}

}  // namespace

void append_chain(const std::vector<Member>& order, const Machine& machine,
                  std::vector<LinkId>& links) {
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    machine.append_route(order[i].device, order[i + 1].device, links);
  }
}

void append_ring(const std::vector<Member>& order, const Machine& machine,
                 std::vector<LinkId>& links) {
  append_chain(order, machine, links);
  if (order.size() > 1) {
    machine.append_route(order.back().device, order.front().device, links);
  }
}

BytesPerSecond slowest(const std::vector<LinkId>& links, const Machine& machine) {
  FORETRAIN_ASSERT(!links.empty(), "a flow crosses links");
  BytesPerSecond rate = capacity(links.front(), machine);
  for (const LinkId link : links) {
    rate = std::min(rate, capacity(link, machine));
  }
  return rate;
}

Flow lockstep(Bytes bytes, std::vector<LinkId> links, double share, const Machine& machine) {
  FORETRAIN_ASSERT(!links.empty(), "a flow crosses links");
  Flow flow;
  flow.bytes = bytes;
  flow.rate_limit = rate_alone(links, machine) * share;
  flow.links = std::move(links);
  return flow;
}

}  // namespace foretrain
