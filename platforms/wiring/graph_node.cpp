// SPDX-License-Identifier: Apache-2.0
#include "platforms/wiring/graph_node.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "platforms/wiring/ring_search.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

bool joins_nics(const LinkGraph& graph) {
  for (std::size_t nic = 0; nic < graph.counts().nics; ++nic) {
    if (!graph.leaving(graph.number_of(nic_vertex(nic))).empty()) {
      return true;
    }
  }
  return false;
}

/// NICs at the fewest hops from a GPU.
std::vector<std::size_t> nearest_nics(std::size_t gpu, const LinkGraph& graph,
                                      const Routes& routes) {
  std::vector<std::size_t> nearest;
  std::size_t fewest = 0;
  for (std::size_t nic = 0; nic < graph.counts().nics; ++nic) {
    const std::size_t hops = routes.between(gpu_vertex(gpu), nic_vertex(nic)).size();
    if (nearest.empty() || hops < fewest) {
      nearest.clear();
      fewest = hops;
    }
    if (hops == fewest) {
      nearest.push_back(nic);
    }
  }
  return nearest;
}

std::vector<std::size_t> assign_nics(const LinkGraph& graph, const Routes& routes) {
  const std::size_t gpus = graph.counts().gpus;
  std::map<std::vector<std::size_t>, std::vector<std::size_t>> gpus_near;  // by their nearest NICs
  for (std::size_t gpu = 0; gpu < gpus; ++gpu) {
    gpus_near[nearest_nics(gpu, graph, routes)].push_back(gpu);
  }
  std::vector<std::size_t> nic_of(gpus);
  for (const auto& [nics, near] : gpus_near) {
    for (std::size_t i = 0; i < near.size(); ++i) {
      nic_of[near[i]] = nics[i * nics.size() / near.size()];
    }
  }
  return nic_of;
}

/// What all nodes of one kind share.
class SharedGraph {
 public:
  explicit SharedGraph(LinkGraph graph)
      : graph_(std::move(graph)), routes_(graph_), has_nic_links_(joins_nics(graph_)) {
    if (has_nic_links_) {
      nic_of_ = assign_nics(graph_, routes_);
    }
  }

  [[nodiscard]] const LinkGraph& graph() const { return graph_; }
  [[nodiscard]] const Routes& routes() const { return routes_; }
  [[nodiscard]] bool has_nic_links() const { return has_nic_links_; }
  [[nodiscard]] bool joins_host() const {
    for (std::size_t gpu = 0; gpu < graph_.counts().gpus; ++gpu) {
      if (routes_.to_processor(gpu).empty()) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] std::size_t nic_of(std::size_t gpu) const { return nic_of_[gpu]; }

  /// Each set of members is searched once.
  [[nodiscard]] std::vector<RingOrder> rings(const std::vector<std::size_t>& members) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto known = rings_.find(members);
    if (known != rings_.end()) {
      return known->second;
    }
    return rings_.emplace(members, search_rings(members, graph_, routes_)).first->second;
  }

 private:
  LinkGraph graph_;
  Routes routes_;
  bool has_nic_links_;
  std::vector<std::size_t> nic_of_;
  mutable std::mutex mutex_;
  mutable std::map<std::vector<std::size_t>, std::vector<RingOrder>> rings_;
};

class GraphTopology : public NodeTopology {
 public:
  GraphTopology(std::shared_ptr<const SharedGraph> shared, const NodePlace& place, Network& network)
      : shared_(std::move(shared)), first_(network.links.size()), achieved_(place.achieved) {
    const LinkGraph& graph = shared_->graph();
    for (std::size_t edge = 0; edge < graph.edges().size(); ++edge) {
      (void)add_link(network, fmt::format("node {} {}", place.node, graph.name_of(edge)),
                     graph.edges()[edge].rate * achieved_);
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    append(gpu_vertex(from), gpu_vertex(to), links);
  }
  void append_to_nic(std::size_t gpu, std::size_t nic, std::vector<LinkId>& links) const override {
    append(gpu_vertex(gpu), nic_vertex(nic), links);
  }
  void append_from_nic(std::size_t nic, std::size_t gpu,
                       std::vector<LinkId>& links) const override {
    append(nic_vertex(nic), gpu_vertex(gpu), links);
  }
  void append_to_host(std::size_t gpu, std::vector<LinkId>& links) const override {
    append_edges(shared_->routes().to_processor(gpu), links);
  }
  void append_from_host(std::size_t gpu, std::vector<LinkId>& links) const override {
    append_edges(shared_->routes().from_processor(gpu), links);
  }
  [[nodiscard]] std::vector<RingOrder> rings(
      const std::vector<std::size_t>& members) const override {
    std::vector<RingOrder> rings = shared_->rings(members);
    for (RingOrder& ring : rings) {
      ring.rate *= achieved_;
    }
    return rings;
  }

 private:
  void append(Vertex from, Vertex to, std::vector<LinkId>& links) const {
    append_edges(shared_->routes().between(from, to), links);
  }
  void append_edges(const std::vector<std::size_t>& edges, std::vector<LinkId>& links) const {
    for (const std::size_t edge : edges) {
      links.push_back(LinkId(first_ + edge));
    }
  }

  std::shared_ptr<const SharedGraph> shared_;
  std::size_t first_;  // links follow one another as the graph's edges do
  double achieved_;
};

class GraphWiring : public NodeWiring {
 public:
  explicit GraphWiring(GraphNode node)
      : name_(node.name),
        shared_(std::make_shared<const SharedGraph>(std::move(node.graph))),
        facts_(std::move(node.facts)),
        drawing_(std::move(node.drawing)),
        is_pcie_(node.is_pcie) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] bool is_pcie() const override { return is_pcie_; }
  [[nodiscard]] bool joins_host() const override { return shared_->joins_host(); }
  [[nodiscard]] std::unique_ptr<NodeTopology> build(const NodePlace& place,
                                                    Network& network) const override {
    return std::make_unique<GraphTopology>(shared_, place, network);
  }
  [[nodiscard]] std::size_t nic_of(std::size_t gpu, NodeSize size) const override {
    return shared_->has_nic_links() ? shared_->nic_of(gpu) : NodeWiring::nic_of(gpu, size);
  }
  [[nodiscard]] std::vector<Fact> facts() const override { return facts_; }
  [[nodiscard]] std::string drawing(NodeSize /*size*/) const override { return drawing_; }

 private:
  std::string_view name_;
  std::shared_ptr<const SharedGraph> shared_;
  std::vector<Fact> facts_;
  std::string drawing_;
  bool is_pcie_;
};

}  // namespace

std::shared_ptr<const NodeWiring> wire(GraphNode node) {
  FORETRAIN_ASSERT(mistake_in(node.graph).empty(), "a node whose parts reach each other");
  return std::make_shared<GraphWiring>(std::move(node));
}

std::string mistake_in(const LinkGraph& graph) {
  const Routes routes(graph);
  const VertexCounts& counts = graph.counts();
  for (std::size_t gpu = 1; gpu < counts.gpus; ++gpu) {
    for (std::size_t other = 0; other < gpu; ++other) {
      if (routes.between(gpu_vertex(other), gpu_vertex(gpu)).empty()) {
        return fmt::format("gpu {} cannot be reached from gpu {}", gpu, other);
      }
    }
  }
  if (!joins_nics(graph)) {
    return "";
  }
  for (std::size_t nic = 0; nic < counts.nics; ++nic) {
    for (std::size_t gpu = 0; gpu < counts.gpus; ++gpu) {
      if (routes.between(gpu_vertex(gpu), nic_vertex(nic)).empty()) {
        return fmt::format("nic {} cannot be reached from gpu {}", nic, gpu);
      }
    }
  }
  const std::vector<std::size_t> nic_of = assign_nics(graph, routes);
  for (std::size_t nic = 0; nic < counts.nics; ++nic) {
    if (std::find(nic_of.begin(), nic_of.end(), nic) == nic_of.end()) {
      return fmt::format("nic {} is of no use: every GPU has another that is as near", nic);
    }
  }
  return "";
}

std::string link_matrix(const LinkGraph& graph) {
  const std::size_t gpus = graph.counts().gpus;
  std::string text = "GB/s  ";
  for (std::size_t gpu = 0; gpu < gpus; ++gpu) {
    text += fmt::format(" {:>5}", gpu);
  }
  for (std::size_t from = 0; from < gpus; ++from) {
    text += fmt::format("\ngpu {:<2}", from);
    for (std::size_t to = 0; to < gpus; ++to) {
      const BytesPerSecond rate =
          from == to ? BytesPerSecond(0) : graph.rate_between(gpu_vertex(from), gpu_vertex(to));
      text += rate > BytesPerSecond(0) ? fmt::format(" {:>5.4g}", rate / BytesPerSecond(1e9))
                                       : fmt::format(" {:>5}", "-");
    }
  }
  return text + "\n";
}

}  // namespace foretrain
