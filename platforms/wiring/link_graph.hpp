// A node as a graph: GPUs, NICs, switches and processors, the links between them, and the route
// between any two.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "sim/core/units.hpp"

namespace foretrain {

enum class VertexKind : std::uint8_t { gpu, nic, chip_switch, cpu };

struct Vertex {
  VertexKind kind = VertexKind::gpu;
  std::size_t index = 0;

  auto operator<=>(const Vertex&) const = default;
  [[nodiscard]] std::string name() const;  ///< "gpu 3"
};

[[nodiscard]] inline Vertex gpu_vertex(std::size_t index) { return {VertexKind::gpu, index}; }
[[nodiscard]] inline Vertex nic_vertex(std::size_t index) { return {VertexKind::nic, index}; }
[[nodiscard]] inline Vertex switch_vertex(std::size_t index) {
  return {VertexKind::chip_switch, index};
}
[[nodiscard]] inline Vertex cpu_vertex(std::size_t index) { return {VertexKind::cpu, index}; }

/// Whether a GPU passes on what is meant for another. Switches and processors always do, NICs
/// never.
enum class Forwarding : std::uint8_t { switches_only, gpus_too };

struct VertexCounts {
  std::size_t gpus = 0;
  std::size_t nics = 0;
  std::size_t switches = 0;
  std::size_t cpus = 0;
};

/// One direction of a link, between vertices by number. That of the other direction is its
/// neighbour: of edges 2 i and 2 i + 1.
struct Edge {
  std::size_t from = 0;
  std::size_t to = 0;
  BytesPerSecond rate{0};
};

class LinkGraph {
 public:
  LinkGraph(VertexCounts counts, Forwarding forwarding);

  /// A duplex link with this rate one way. REQUIRES: both exist, are not the same, and have no link
  /// yet; the rate is positive.
  void join(Vertex a, Vertex b, BytesPerSecond rate);

  [[nodiscard]] const VertexCounts& counts() const { return counts_; }
  [[nodiscard]] Forwarding forwarding() const { return forwarding_; }
  [[nodiscard]] std::size_t num_vertices() const { return vertices_.size(); }
  [[nodiscard]] std::size_t number_of(Vertex vertex) const;
  [[nodiscard]] const Vertex& vertex(std::size_t number) const { return vertices_[number]; }
  [[nodiscard]] const std::vector<Edge>& edges() const { return edges_; }
  /// Those that leave a vertex, in the order of the vertices that they lead to.
  [[nodiscard]] const std::vector<std::size_t>& leaving(std::size_t vertex) const {
    return leaving_[vertex];
  }
  [[nodiscard]] std::string name_of(std::size_t edge) const;  ///< "gpu 1 to gpu 5"
  /// Of the link between two; 0 where there is none.
  [[nodiscard]] BytesPerSecond rate_between(Vertex a, Vertex b) const;

 private:
  void add_edge(std::size_t from, std::size_t to, BytesPerSecond rate);

  VertexCounts counts_;
  Forwarding forwarding_;
  std::vector<Vertex> vertices_;
  std::vector<Edge> edges_;
  std::vector<std::vector<std::size_t>> leaving_;  // by vertex
};

/// The route between every two GPUs, and between every GPU and every NIC: the fewest hops, then the
/// widest, then the lowest numbers. The way back is the same, backwards.
class Routes {
 public:
  explicit Routes(const LinkGraph& graph);

  /// Edges in order; none where there is no way.
  [[nodiscard]] const std::vector<std::size_t>& between(Vertex from, Vertex to) const;
  /// From a GPU to the nearest processor, and from there back; none where there is no way.
  [[nodiscard]] const std::vector<std::size_t>& to_processor(std::size_t gpu) const {
    return to_processor_[gpu];
  }
  [[nodiscard]] const std::vector<std::size_t>& from_processor(std::size_t gpu) const {
    return from_processor_[gpu];
  }

 private:
  std::size_t gpus_;
  std::size_t ends_;  // GPUs, then NICs
  std::vector<std::vector<std::size_t>> routes_;
  std::vector<std::vector<std::size_t>> to_processor_;  // by GPU
  std::vector<std::vector<std::size_t>> from_processor_;
};

}  // namespace foretrain
