// Nodes in a grid whose rows wrap round (TPU pods, Blue Gene, Fugaku). Traffic is routed one
// dimension after another, the shorter way round; halfway, upwards.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "platforms/topology/nic_links.hpp"

namespace foretrain {
namespace {

struct Grid {
  std::vector<std::size_t> dimensions;  ///< nodes along each; the first counts fastest

  [[nodiscard]] std::size_t size() const {
    std::size_t nodes = 1;
    for (const std::size_t dimension : dimensions) {
      nodes *= dimension;
    }
    return nodes;
  }
};

class Torus : public FabricTopology {
 public:
  Torus(std::span<const NicPort> ports, const Grid& grid, BytesPerSecond rate, Network& network)
      : grid_(grid), nics_(ports, network) {
    nodes_.reserve(ports.size());
    for (const NicPort& port : ports) {
      nodes_.push_back(port.node);
    }
    first_ = network.links.size();
    for (std::size_t node = 0; node < grid.size(); ++node) {
      for (std::size_t axis = 0; axis < grid.dimensions.size(); ++axis) {
        for (const char* direction : {"up", "down"}) {
          (void)add_link(network, fmt::format("torus {} axis {} {}", node, axis, direction), rate);
        }
      }
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(nics_.out(from));
    std::size_t node = nodes_[from];
    std::size_t stride = 1;
    for (std::size_t axis = 0; axis < grid_.dimensions.size(); ++axis) {
      const std::size_t size = grid_.dimensions[axis];
      const std::size_t target = nodes_[to] / stride % size;
      const std::size_t ahead = (target + size - node / stride % size) % size;
      const bool is_up = 2 * ahead <= size;
      for (std::size_t hops = is_up ? ahead : size - ahead; hops > 0; --hops) {
        links.push_back(link(node, axis, is_up));
        const std::size_t place = node / stride % size;
        const std::size_t next = is_up ? (place + 1) % size : (place + size - 1) % size;
        node = node - place * stride + next * stride;
      }
      stride *= size;
    }
    links.push_back(nics_.in(to));
  }

 private:
  [[nodiscard]] LinkId link(std::size_t node, std::size_t axis, bool is_up) const {
    return LinkId(first_ + 2 * (node * grid_.dimensions.size() + axis) + (is_up ? 0 : 1));
  }

  Grid grid_;
  NicLinks nics_;
  std::vector<std::size_t> nodes_;  // by port
  std::size_t first_ = 0;
};

class TorusWiring : public FabricWiring {
 public:
  TorusWiring(Grid grid, Sourced<BytesPerSecond> link_rate)
      : grid_(std::move(grid)), link_rate_(std::move(link_rate)) {}

  [[nodiscard]] std::string_view name() const override { return "torus"; }
  [[nodiscard]] std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports,
                                                      double achieved,
                                                      Network& network) const override {
    return std::make_unique<Torus>(ports, grid_, link_rate_.value * achieved, network);
  }
  [[nodiscard]] std::size_t max_nodes() const override { return grid_.size(); }
  [[nodiscard]] std::vector<Fact> facts() const override { return {fact("link_rate", link_rate_)}; }
  [[nodiscard]] std::string drawing(std::size_t nodes, std::size_t nics) const override {
    return fmt::format(
        "torus of {} nodes, {} each way along each axis\n"
        "  node 0 .. node {}, {} NICs each -- out, in\n",
        fmt::join(grid_.dimensions, " x "), config::show(link_rate_.value), nodes - 1, nics);
  }

 private:
  Grid grid_;
  Sourced<BytesPerSecond> link_rate_;
};

constexpr std::int64_t kMostNodes = 262'144;  // what a simulation holds

}  // namespace

// dimensions = [4, 4, 4], nodes along each axis; link_rate of one link to a neighbour, one way.
std::shared_ptr<const FabricWiring> read_torus(config::Reader& table) {
  Grid grid;
  std::int64_t nodes = 1;
  for (const std::int64_t size : table.counts("dimensions", config::Range{1, kMostNodes})) {
    grid.dimensions.push_back(static_cast<std::size_t>(size));
    nodes = std::min(nodes * size, kMostNodes + 1);
  }
  if (grid.dimensions.empty() || nodes > kMostNodes) {
    table.fail("dimensions",
               fmt::format("dimensions: expected the sizes of a grid of at most {} nodes, such "
                           "as [4, 4, 4]",
                           kMostNodes));
    grid.dimensions = {1};
  }
  auto link_rate = table.get<Sourced<BytesPerSecond>>("link_rate");
  if (table.has("link_rate") && link_rate.value <= BytesPerSecond(0)) {
    table.fail("link_rate", "expected a rate greater than zero");
  }
  return std::make_shared<TorusWiring>(std::move(grid), std::move(link_rate));
}

}  // namespace foretrain
