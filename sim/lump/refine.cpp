// Rounds of naive refinement: a node's next class is its class and the multiset of (label, class of
// the neighbour). Multisets are compared by sums of mixed 64-bit words, so a round is one pass over
// the edges and needs no lists of neighbours; when nothing changes any more the classes are checked
// by counting, kind of edge by kind of edge.
// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/refine.hpp"

#include <algorithm>
#include <tuple>
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

constexpr std::uint64_t word_of(std::uint32_t label, std::uint32_t class_number) {
  return (static_cast<std::uint64_t>(label) << 32U) | class_number;
}

constexpr std::uint32_t kItself = 0xffffffff;  // no edge has this label

Partition classes_by(const std::vector<std::uint64_t>& keys) {
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

std::vector<std::uint64_t> keys_by_colour(const ColouredGraph& graph) {
  std::vector<std::uint64_t> keys(graph.num_nodes());
  for (std::size_t node = 0; node < keys.size(); ++node) {
    keys[node] = graph.colour_of(NodeId(node)).value;
  }
  return keys;
}

// Sums do not depend on the order in which a node's edges come.
void keys_by_view(const ColouredGraph& graph, const Partition& partition,
                  std::vector<std::uint64_t>& keys) {
  for (std::size_t node = 0; node < keys.size(); ++node) {
    keys[node] = mix(word_of(kItself, partition.classes[node].value));
  }
  for (const ColouredGraph::Edge& edge : graph.edges()) {
    keys[edge.a.index()] += mix(word_of(edge.label, partition.of(edge.b).value));
    keys[edge.b.index()] += mix(word_of(edge.label, partition.of(edge.a).value));
  }
}

/// To which class of the round before the members of each class belonged.
std::vector<ClassId> parents(const Partition& partition, const Partition& before) {
  std::vector<ClassId> classes;
  classes.reserve(partition.num_classes());
  for (const NodeId first : partition.first_members) {
    classes.push_back(before.of(first));
  }
  return classes;
}

/// From the parents of each round to the ancestors of the last one's classes.
std::vector<std::vector<ClassId>> ancestors(std::vector<std::vector<ClassId>> rounds) {
  for (std::size_t round = rounds.size(); round-- > 1;) {
    std::vector<ClassId> older;
    older.reserve(rounds[round].size());
    for (const ClassId id : rounds[round]) {
      older.push_back(rounds[round - 1][id.index()]);
    }
    rounds[round - 1] = std::move(older);
  }
  return rounds;
}

/// Proves a partition equitable: for every kind of edge (its label and the classes of its ends),
/// all members of a class see equally many edges of that kind.
class Proof {
 public:
  Proof(const ColouredGraph& graph, const Partition& partition)
      : graph_(graph), partition_(partition), sizes_(partition.num_classes(), 0) {
    for (std::size_t node = 0; node < graph.num_nodes(); ++node) {
      const ClassId id = partition.classes[node];
      ++sizes_[id.index()];
      expect(graph.colour_of(NodeId(node)) == graph.colour_of(partition.first_members[id.index()]));
    }
  }

  void run() {
    sort_edges();
    counts_.assign(graph_.num_nodes(), 0);
    for (const Kind& kind : kinds_) {
      count(kind);
      compare(kind);
    }
  }

 private:
  /// Edges of one kind are a chain from the last to the first.
  struct Kind {
    ClassId one;
    ClassId other;
    std::uint32_t last_edge = 0;
  };
  static constexpr std::uint32_t kNoEdge = 0xffffffff;

  static void expect(bool is_so) {
    FORETRAIN_ASSERT(is_so, "two nodes that differ have the same 64-bit hash");
  }

  void sort_edges() {
    FORETRAIN_ASSERT(graph_.edges().size() < kNoEdge, "more edges than 32 bits can count");
    earlier_.reserve(graph_.edges().size());
    std::map<std::tuple<ClassId, ClassId, std::uint32_t>, std::size_t> known;
    std::tuple<ClassId, ClassId, std::uint32_t> key;  // of the edge before: often the same
    std::size_t kind = 0;
    for (const ColouredGraph::Edge& edge : graph_.edges()) {
      const auto ends = std::minmax({partition_.of(edge.a), partition_.of(edge.b)});
      const std::tuple next(ends.first, ends.second, edge.label);
      if (kinds_.empty() || next != key) {
        key = next;
        const auto [place, is_new] = known.try_emplace(key, kinds_.size());
        kind = place->second;
        if (is_new) {
          kinds_.push_back({ends.first, ends.second, kNoEdge});
        }
      }
      earlier_.push_back(
          std::exchange(kinds_[kind].last_edge, static_cast<std::uint32_t>(earlier_.size())));
    }
  }

  void count(const Kind& kind) {
    for (std::uint32_t i = kind.last_edge; i != kNoEdge; i = earlier_[i]) {
      ++counts_[graph_.edges()[i].a.index()];
      ++counts_[graph_.edges()[i].b.index()];
    }
  }

  // All members of both classes have been counted, as often as the first of their class.
  void compare(const Kind& kind) {
    const std::uint32_t one = counts_[partition_.first_members[kind.one.index()].index()];
    const std::uint32_t other = counts_[partition_.first_members[kind.other.index()].index()];
    std::size_t members = sizes_[kind.one.index()];
    members += kind.one == kind.other ? 0 : sizes_[kind.other.index()];
    for (std::uint32_t i = kind.last_edge; i != kNoEdge; i = earlier_[i]) {
      for (const NodeId end : {graph_.edges()[i].a, graph_.edges()[i].b}) {
        if (const std::uint32_t count = std::exchange(counts_[end.index()], 0); count != 0) {
          expect(count == (partition_.of(end) == kind.one ? one : other));
          --members;
        }
      }
    }
    expect(members == 0);
  }

  const ColouredGraph& graph_;
  const Partition& partition_;
  std::vector<std::size_t> sizes_;  // by class
  std::vector<Kind> kinds_;
  std::vector<std::uint32_t> earlier_;  // by edge: the one before it of its kind
  std::vector<std::uint32_t> counts_;   // by node, of the kind that is looked at
};

}  // namespace

ColourId ColouredGraph::colour(const std::vector<std::uint64_t>& words) {
  return known_.try_emplace(words, ColourId(known_.size())).first->second;
}

NodeId ColouredGraph::add_node(ColourId colour) {
  colours_.push_back(colour);
  return NodeId(colours_.size() - 1);
}

void ColouredGraph::join(NodeId a, NodeId b, std::size_t label) {
  FORETRAIN_ASSERT(label < kItself, "a label beyond 32 bits");
  edges_.push_back({a, b, static_cast<std::uint32_t>(label)});
}

Partition refine(const ColouredGraph& graph) {
  std::vector<std::uint64_t> keys = keys_by_colour(graph);
  Partition partition = classes_by(keys);
  std::vector<std::vector<ClassId>> rounds;
  std::size_t before = 0;
  while (partition.num_classes() > before) {
    before = partition.num_classes();
    keys_by_view(graph, partition, keys);
    Partition finer = classes_by(keys);
    rounds.push_back(parents(finer, partition));
    partition = std::move(finer);
  }
  partition.rounds = ancestors(std::move(rounds));
  Proof(graph, partition).run();
  return partition;
}

Views views(const ColouredGraph& graph, const Partition& partition) {
  Views seen(partition.num_classes());
  for (const ColouredGraph::Edge& edge : graph.edges()) {
    if (partition.is_first(edge.a)) {
      seen[partition.of(edge.a).index()].push_back({edge.b, edge.label});
    }
    if (partition.is_first(edge.b)) {
      seen[partition.of(edge.b).index()].push_back({edge.a, edge.label});
    }
  }
  return seen;
}

}  // namespace foretrain
