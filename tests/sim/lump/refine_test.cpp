// Partitions of small graphs, derived by hand, and of random ones, by the definition.
// SPDX-License-Identifier: Apache-2.0
#include "sim/lump/refine.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <utility>

#include "tests/support/catch.hpp"

namespace foretrain::testing {
namespace {

using Classes = std::vector<std::uint32_t>;

ColouredGraph nodes(std::size_t count) {
  ColouredGraph graph;
  for (std::size_t i = 0; i < count; ++i) {
    graph.add_node(graph.colour({0}));
  }
  return graph;
}

void join_all(ColouredGraph& graph, const std::vector<std::pair<std::size_t, std::size_t>>& edges) {
  for (const auto& [a, b] : edges) {
    graph.join(NodeId(a), NodeId(b), 0);
  }
}

Classes classes_of(const ColouredGraph& graph) {
  Classes numbers;
  for (const ClassId id : refine(graph).classes) {
    numbers.push_back(id.value);
  }
  return numbers;
}

// The definition, without hashes: refine by whole signatures until nothing changes.
Classes classes_by_definition(const ColouredGraph& graph) {
  Classes classes;
  for (std::size_t node = 0; node < graph.num_nodes(); ++node) {
    classes.push_back(graph.colour_of(NodeId(node)).value);
  }
  for (std::size_t round = 0; round < graph.num_nodes() + 1; ++round) {
    std::vector<std::vector<std::uint64_t>> seen(classes.size());
    for (const ColouredGraph::Edge& edge : graph.edges()) {
      const auto word = [&](NodeId node) {
        return (static_cast<std::uint64_t>(edge.label) << 32U) | classes[node.index()];
      };
      seen[edge.a.index()].push_back(word(edge.b));
      seen[edge.b.index()].push_back(word(edge.a));
    }
    std::map<std::pair<std::uint32_t, std::vector<std::uint64_t>>, std::uint32_t> known;
    for (std::size_t node = 0; node < classes.size(); ++node) {
      std::sort(seen[node].begin(), seen[node].end());
      const auto next = static_cast<std::uint32_t>(known.size());
      classes[node] = known.try_emplace({classes[node], seen[node]}, next).first->second;
    }
  }
  return classes;
}

}  // namespace

TEST_CASE("nodes without edges are classed by their colours", "[lump]") {
  ColouredGraph graph;
  graph.add_node(graph.colour({1, 2}));
  graph.add_node(graph.colour({1}));
  graph.add_node(graph.colour({1, 2}));
  CHECK(classes_of(graph) == Classes{0, 1, 0});
}

TEST_CASE("the nodes of a path are classed by their distance from an end", "[lump]") {
  ColouredGraph graph = nodes(5);
  join_all(graph, {{0, 1}, {1, 2}, {2, 3}, {3, 4}});
  CHECK(classes_of(graph) == Classes{0, 1, 2, 1, 0});
}

TEST_CASE("a cycle is one class, and so are two cycles of half the length", "[lump]") {
  // No automorphism maps one onto the other; yet every node sees two nodes of the one class.
  ColouredGraph graph = nodes(12);
  join_all(graph, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 0}});
  join_all(graph, {{6, 7}, {7, 8}, {8, 6}, {9, 10}, {10, 11}, {11, 9}});
  CHECK(classes_of(graph) == Classes(12, 0));
}

TEST_CASE("one odd node tells a cycle's nodes apart by their distance from it", "[lump]") {
  ColouredGraph graph;
  for (std::size_t i = 0; i < 6; ++i) {
    graph.add_node(graph.colour({i == 2 ? 1U : 0U}));
  }
  join_all(graph, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 0}});
  CHECK(classes_of(graph) == Classes{0, 1, 2, 1, 0, 3});
}

TEST_CASE("labels and numbers of edges tell nodes apart", "[lump]") {
  ColouredGraph graph = nodes(6);
  graph.join(NodeId(0), NodeId(1), 3);
  graph.join(NodeId(2), NodeId(3), 4);
  graph.join(NodeId(4), NodeId(5), 3);
  graph.join(NodeId(4), NodeId(5), 3);
  CHECK(classes_of(graph) == Classes{0, 0, 1, 1, 2, 2});
}

TEST_CASE("a node and its neighbour may swap classes without becoming alike", "[lump]") {
  // Pairs joined by label 0: A-B and B-A are the same, A-A and B-B are not.
  ColouredGraph graph;
  for (const std::uint64_t colour : {0U, 1U, 1U, 0U, 0U, 0U, 1U, 1U}) {
    graph.add_node(graph.colour({colour}));
  }
  join_all(graph, {{0, 1}, {2, 3}, {4, 5}, {6, 7}});
  CHECK(classes_of(graph) == Classes{0, 1, 1, 0, 2, 2, 3, 3});
}

TEST_CASE("random graphs are refined as by the definition", "[lump]") {
  std::mt19937 generator(1);
  const auto number = [&](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(generator);
  };
  for (int i = 0; i < 200; ++i) {
    const std::size_t size = 1 + number(30);
    ColouredGraph graph;
    for (std::size_t node = 0; node < size; ++node) {
      graph.add_node(graph.colour({number(9) == 0 ? 1U : 0U}));
    }
    for (std::size_t edge = number(size); edge > 0; --edge) {
      graph.join(NodeId(number(size - 1)), NodeId(number(size - 1)), number(4) / 4);
    }
    CHECK(classes_of(graph) == classes_by_definition(graph));
  }
}

}  // namespace foretrain::testing
