// SPDX-License-Identifier: Apache-2.0
#include "strategies/collective/double_tree.hpp"

#include <algorithm>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

// Places 1 to n of a binary tree in order: a place divisible by 2^h but not by 2^(h+1) has height
// h, so odd places are leaves. The parent is the nearest ancestor in the full tree that is within
// n.
std::size_t parent_place(std::size_t place, std::size_t n) {
  std::size_t ancestor = place;
  do {
    const std::size_t bit = ancestor & (~ancestor + 1);
    if (bit * 2 > n && ancestor <= n) {
      return place;  // the full tree goes on, but nobody above is within n: this is the root
    }
    ancestor = (ancestor - bit) | (bit * 2);
  } while (ancestor > n);
  return ancestor;
}

}  // namespace

std::array<TreeParents, 2> double_binary_tree(std::size_t num_nodes) {
  FORETRAIN_ASSERT(num_nodes >= 1, "a tree of nobody");
  const std::size_t n = num_nodes;
  TreeParents first(n);
  TreeParents second(n);
  for (std::size_t node = 0; node < n; ++node) {
    first[node] = parent_place(node + 1, n) - 1;
    // The other tree swaps odd and even places: mirrored for an even n, shifted by one for an odd.
    if (n % 2 == 0) {
      second[node] = n - parent_place(n - node, n);
    } else {
      second[node] = (parent_place((node + 1) % n + 1, n) + n - 2) % n;
    }
  }
  return {first, second};
}

std::size_t depth_of(std::size_t node, const TreeParents& parents) {
  std::size_t depth = 0;
  while (parents[node] != node) {
    node = parents[node];
    ++depth;
  }
  return depth;
}

std::size_t height_of(const TreeParents& parents) {
  std::size_t height = 0;
  for (std::size_t node = 0; node < parents.size(); ++node) {
    height = std::max(height, depth_of(node, parents));
  }
  return height;
}

void add_tree_passes(Moves& moves, std::size_t first, const TreeParents& parents,
                     const std::vector<std::uint32_t>& members, std::uint32_t chunk) {
  const std::size_t height = height_of(parents);
  for (std::size_t node = 0; node < parents.size(); ++node) {
    const std::size_t depth = depth_of(node, parents);
    if (depth > 0) {
      const std::uint32_t parent = members[parents[node]];
      moves.add(first + height - depth, {members[node], parent, {chunk}, true});
      moves.add(first + height + depth - 1, {parent, members[node], {chunk}, false});
    }
  }
}

double busiest_nic_share(std::size_t num_nodes) {
  const double k = static_cast<double>(num_nodes);
  return num_nodes == 2 ? 1 : (k - 1) / k;
}

}  // namespace foretrain
