// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/traffic.hpp"

#include <algorithm>
#include <utility>

#include "strategies/collective/lockstep.hpp"

namespace foretrain {

Traffic::Traffic(const Machine& machine)
    : machine_(machine), loads_(machine.network().links.size()) {}

void Traffic::add_pairs_inside(const std::vector<Member>& node) {
  for (const Member& from : node) {
    for (const Member& to : node) {
      if (from.rank != to.rank) {
        add(from, to, &Load::inside);
      }
    }
  }
}

void Traffic::add_pairs_between(const std::vector<Member>& members, std::size_t routes) {
  const std::size_t n = members.size();
  const std::size_t stride = std::max<std::size_t>(1, n * n / std::max(n, routes));
  for (std::size_t distance = 1 + (stride - 1) / 2; distance < n; distance += stride) {
    for (std::size_t p = 0; p < n; ++p) {
      const Member& to = members[(p + distance) % n];
      if (machine_.node_of(members[p].device) != machine_.node_of(to.device)) {
        add(members[p], to, &Load::between);
        ++counted_between_;
      }
    }
  }
  pairs_between_ += static_cast<double>(n) * static_cast<double>(n);
  for (std::size_t first = 0; first < n;) {  // less those within a node: members are node by node
    std::size_t last = first;
    while (last < n &&
           machine_.node_of(members[last].device) == machine_.node_of(members[first].device)) {
      ++last;
    }
    pairs_between_ -= static_cast<double>((last - first) * (last - first));
    first = last;
  }
}

std::vector<Flow> Traffic::flows(Bytes inside, Bytes between, double share) const {
  if (counted_between_ > 0) {
    between *= pairs_between_ / counted_between_;
  }
  std::vector<std::pair<Load, LinkId>> used;
  for (std::size_t link = 0; link < loads_.size(); ++link) {
    if (loads_[link] != Load{}) {
      used.emplace_back(loads_[link], LinkId(link));
    }
  }
  std::sort(used.begin(), used.end());
  std::vector<Flow> flows;
  for (auto first = used.begin(); first != used.end();) {
    const Load load = first->first;
    std::vector<LinkId> links;
    for (; first != used.end() && first->first == load; ++first) {
      links.push_back(first->second);
    }
    flows.push_back(
        lockstep(inside * load.inside + between * load.between, std::move(links), share, machine_));
  }
  return flows;
}

void Traffic::add(const Member& from, const Member& to, std::uint32_t Load::*count) {
  route_.clear();
  machine_.append_route(from.device, to.device, route_);
  for (const LinkId link : route_) {
    ++(loads_[link.index()].*count);
  }
}

}  // namespace foretrain
