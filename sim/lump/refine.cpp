// Rounds of naive refinement: a node's next class is its class and the multiset of (label, class of
// the neighbour). Multisets are compared by sums of mixed 64-bit words, and once more, in full,
// when nothing changes any more. SPDX-License-Identifier: Apache-2.0
#include "sim/lump/refine.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

// The finaliser of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014, figure 16 (constants by Stafford).
constexpr std::uint64_t mix(std::uint64_t word) {
  word += 0x9e3779b97f4a7c15;
  word = (word ^ (word >> 30U)) * 0xbf58476d1ce4e5b9;
  word = (word ^ (word >> 27U)) * 0x94d049bb133111eb;
  return word ^ (word >> 31U);
}

/// One end of an edge, as the node at the other end sees it.
struct Neighbour {
  NodeId node;
  std::uint32_t label = 0;
};

constexpr std::uint64_t word_of(std::uint32_t label, std::uint32_t colour) {
  return (static_cast<std::uint64_t>(label) << 32U) | colour;
}

constexpr std::uint32_t kItself = 0xffffffff;  // no edge has this label

class Refinement {
 public:
  explicit Refinement(const ColouredGraph& graph)
      : graph_(graph), begins_(graph.num_nodes() + 1, 0), neighbours_(2 * graph.edges().size()) {
    for (const ColouredGraph::Edge& edge : graph.edges()) {
      ++begins_[edge.a.index() + 1];
      ++begins_[edge.b.index() + 1];
    }
    for (std::size_t node = 1; node < begins_.size(); ++node) {
      begins_[node] += begins_[node - 1];
    }
    std::vector<std::size_t> next(begins_.begin(), begins_.end() - 1);
    for (const ColouredGraph::Edge& edge : graph.edges()) {
      neighbours_[next[edge.a.index()]++] = {edge.b, edge.label};
      neighbours_[next[edge.b.index()]++] = {edge.a, edge.label};
    }
  }

  Partition run() {
    std::vector<std::uint64_t> keys(graph_.num_nodes());
    for (std::size_t node = 0; node < keys.size(); ++node) {
      keys[node] = graph_.colour(NodeId(node));
    }
    Partition partition = classes_by(keys);
    std::size_t before = 0;
    while (partition.first_members.size() > before) {
      before = partition.first_members.size();
      for (std::size_t node = 0; node < keys.size(); ++node) {
        keys[node] = key_of(partition, NodeId(node));
      }
      partition = classes_by(keys);
    }
    check(partition);
    return partition;
  }

 private:
  static Partition classes_by(const std::vector<std::uint64_t>& keys) {
    Partition partition;
    partition.classes.reserve(keys.size());
    std::unordered_map<std::uint64_t, ClassId> known;  // never iterated
    for (std::size_t node = 0; node < keys.size(); ++node) {
      const auto [place, is_new] =
          known.try_emplace(keys[node], ClassId(partition.first_members.size()));
      if (is_new) {
        partition.first_members.push_back(NodeId(node));
      }
      partition.classes.push_back(place->second);
    }
    return partition;
  }

  std::uint64_t key_of(const Partition& partition, NodeId node) const {
    std::uint64_t sum = 0;
    for (std::size_t i = begins_[node.index()]; i < begins_[node.index() + 1]; ++i) {
      sum += mix(word_of(neighbours_[i].label, partition.of(neighbours_[i].node).value));
    }
    return mix(sum + mix(word_of(kItself, partition.of(node).value)));
  }

  std::vector<std::uint64_t> sees(const Partition& partition, NodeId node) const {
    std::vector<std::uint64_t> words;
    words.reserve(begins_[node.index() + 1] - begins_[node.index()]);
    for (std::size_t i = begins_[node.index()]; i < begins_[node.index() + 1]; ++i) {
      words.push_back(word_of(neighbours_[i].label, partition.of(neighbours_[i].node).value));
    }
    std::sort(words.begin(), words.end());
    return words;
  }

  void check(const Partition& partition) const {
    std::vector<std::vector<std::uint64_t>> seen(partition.first_members.size());
    for (std::size_t i = 0; i < graph_.num_nodes(); ++i) {
      const NodeId node(i);
      const ClassId class_id = partition.of(node);
      std::vector<std::uint64_t> words = sees(partition, node);
      if (partition.is_first(node)) {
        seen[class_id.index()] = std::move(words);
        continue;
      }
      const NodeId first = partition.first_members[class_id.index()];
      FORETRAIN_ASSERT(
          graph_.colour(first) == graph_.colour(node) && seen[class_id.index()] == words,
          "two nodes that differ have the same 64-bit hash");
    }
  }

  const ColouredGraph& graph_;
  std::vector<std::size_t> begins_;  // by node, into neighbours_
  std::vector<Neighbour> neighbours_;
};

}  // namespace

NodeId ColouredGraph::add_node(const std::vector<std::uint64_t>& colour) {
  const auto next = static_cast<std::uint32_t>(known_.size());
  colours_.push_back(known_.try_emplace(colour, next).first->second);
  return NodeId(colours_.size() - 1);
}

void ColouredGraph::join(NodeId a, NodeId b, std::size_t label) {
  FORETRAIN_ASSERT(label < kItself, "a label beyond 32 bits");
  edges_.push_back({a, b, static_cast<std::uint32_t>(label)});
}

Partition refine(const ColouredGraph& graph) { return Refinement(graph).run(); }

}  // namespace foretrain
