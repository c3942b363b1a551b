// SPDX-License-Identifier: Apache-2.0
#include "platforms/wiring/link_graph.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>

#include "sim/core/error.hpp"

namespace foretrain {
namespace {

std::string_view word_for(VertexKind kind) {
  switch (kind) {
    case VertexKind::gpu:
      return "gpu";
    case VertexKind::nic:
      return "nic";
    case VertexKind::chip_switch:
      return "switch";
    case VertexKind::cpu:
      return "cpu";
  }
  return "";
}

constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

/// How a vertex was reached: over how many hops, how wide, and by which edge.
struct Reached {
  std::size_t hops = kNowhere;
  BytesPerSecond width{0};
  std::size_t edge = kNowhere;
};

bool passes_on(const LinkGraph& graph, std::size_t vertex) {
  const VertexKind kind = graph.vertex(vertex).kind;
  return kind == VertexKind::chip_switch || kind == VertexKind::cpu ||
         (kind == VertexKind::gpu && graph.forwarding() == Forwarding::gpus_too);
}

// One layer after another; vertices of a layer ascend, so that of equally wide ways the one over
// the lowest numbers stays.
std::vector<Reached> reach_from(std::size_t source, const LinkGraph& graph) {
  std::vector<Reached> reached(graph.num_vertices());
  reached[source] = {0, BytesPerSecond(std::numeric_limits<double>::infinity()), kNowhere};
  std::vector<std::size_t> layer = {source};
  while (!layer.empty()) {
    std::vector<std::size_t> next;
    for (const std::size_t from : layer) {
      if (from != source && !passes_on(graph, from)) {
        continue;
      }
      for (const std::size_t index : graph.leaving(from)) {
        const Edge& edge = graph.edges()[index];
        const std::size_t hops = reached[from].hops + 1;
        const BytesPerSecond width = std::min(reached[from].width, edge.rate);
        Reached& there = reached[edge.to];
        if (there.hops == kNowhere) {
          next.push_back(edge.to);
        }
        if (hops < there.hops || (hops == there.hops && width > there.width)) {
          there = {hops, width, index};
        }
      }
    }
    std::sort(next.begin(), next.end());
    layer = std::move(next);
  }
  return reached;
}

std::vector<std::size_t> way_to(std::size_t target, const std::vector<Reached>& reached,
                                const LinkGraph& graph) {
  std::vector<std::size_t> edges;
  for (std::size_t at = target; reached[at].edge != kNowhere;) {
    edges.push_back(reached[at].edge);
    at = graph.edges()[reached[at].edge].from;
  }
  std::reverse(edges.begin(), edges.end());
  return edges;
}

std::optional<std::size_t> nearest_processor(const std::vector<Reached>& reached,
                                             const LinkGraph& graph) {
  std::optional<std::size_t> nearest;
  for (std::size_t i = 0; i < graph.counts().cpus; ++i) {
    const std::size_t cpu = graph.number_of(cpu_vertex(i));
    if (reached[cpu].hops != kNowhere && (!nearest || reached[cpu].hops < reached[*nearest].hops)) {
      nearest = cpu;
    }
  }
  return nearest;
}

std::vector<std::size_t> reversed(const std::vector<std::size_t>& edges) {
  std::vector<std::size_t> back;
  back.reserve(edges.size());
  for (auto edge = edges.rbegin(); edge != edges.rend(); ++edge) {
    back.push_back(*edge ^ 1U);  // the two directions of a link are neighbours
  }
  return back;
}

}  // namespace

std::string Vertex::name() const {
  return std::string(word_for(kind)) + " " + std::to_string(index);
}

LinkGraph::LinkGraph(VertexCounts counts, Forwarding forwarding)
    : counts_(counts), forwarding_(forwarding) {
  vertices_.reserve(counts.gpus + counts.nics + counts.switches + counts.cpus);
  const auto add = [&](VertexKind kind, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      vertices_.push_back({kind, i});
    }
  };
  add(VertexKind::gpu, counts.gpus);
  add(VertexKind::nic, counts.nics);
  add(VertexKind::chip_switch, counts.switches);
  add(VertexKind::cpu, counts.cpus);
  leaving_.resize(vertices_.size());
}

std::size_t LinkGraph::number_of(Vertex vertex) const {
  const std::size_t first_nic = counts_.gpus;
  const std::size_t first_switch = first_nic + counts_.nics;
  switch (vertex.kind) {
    case VertexKind::gpu:
      return vertex.index;
    case VertexKind::nic:
      return first_nic + vertex.index;
    case VertexKind::chip_switch:
      return first_switch + vertex.index;
    case VertexKind::cpu:
      break;
  }
  return first_switch + counts_.switches + vertex.index;
}

void LinkGraph::join(Vertex a, Vertex b, BytesPerSecond rate) {
  FORETRAIN_ASSERT(a != b && rate > BytesPerSecond(0), "a link joins two vertices at some rate");
  FORETRAIN_ASSERT(rate_between(a, b) <= BytesPerSecond(0), "a pair is linked once");
  add_edge(number_of(a), number_of(b), rate);
  add_edge(number_of(b), number_of(a), rate);
}

void LinkGraph::add_edge(std::size_t from, std::size_t to, BytesPerSecond rate) {
  FORETRAIN_ASSERT(from < vertices_.size() && to < vertices_.size(), "a vertex of the graph");
  std::vector<std::size_t>& leaving = leaving_[from];
  const auto place = std::find_if(leaving.begin(), leaving.end(),
                                  [&](std::size_t other) { return edges_[other].to > to; });
  leaving.insert(place, edges_.size());
  edges_.push_back({from, to, rate});
}

std::string LinkGraph::name_of(std::size_t edge) const {
  return vertices_[edges_[edge].from].name() + " to " + vertices_[edges_[edge].to].name();
}

BytesPerSecond LinkGraph::rate_between(Vertex a, Vertex b) const {
  const std::size_t to = number_of(b);
  for (const std::size_t edge : leaving_[number_of(a)]) {
    if (edges_[edge].to == to) {
      return edges_[edge].rate;
    }
  }
  return BytesPerSecond(0);
}

Routes::Routes(const LinkGraph& graph)
    : gpus_(graph.counts().gpus),
      ends_(gpus_ + graph.counts().nics),
      routes_(ends_ * ends_),
      to_processor_(gpus_),
      from_processor_(gpus_) {
  for (std::size_t from = 0; from < gpus_; ++from) {  // GPUs have the lowest numbers, then NICs
    const std::vector<Reached> reached = reach_from(from, graph);
    for (std::size_t to = from + 1; to < ends_; ++to) {
      routes_[from * ends_ + to] = way_to(to, reached, graph);
      routes_[to * ends_ + from] = reversed(routes_[from * ends_ + to]);
    }
    if (const auto cpu = nearest_processor(reached, graph)) {
      to_processor_[from] = way_to(*cpu, reached, graph);
      from_processor_[from] = reversed(to_processor_[from]);
    }
  }
}

const std::vector<std::size_t>& Routes::between(Vertex from, Vertex to) const {
  const auto number = [&](Vertex end) {
    return end.kind == VertexKind::nic ? gpus_ + end.index : end.index;
  };
  FORETRAIN_ASSERT(number(from) < ends_ && number(to) < ends_, "routes end at GPUs and NICs");
  return routes_[number(from) * ends_ + number(to)];
}

}  // namespace foretrain
