// GPUs behind NVSwitch: any pair talks at full rate in both directions at once, so only a GPU's own
// ports can be the bottleneck. On an H200 node, traffic both ways at once reached 783.7 GB/s
// against 396.4 GB/s one way (stas00/ml-engineering): up and down are independent links.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "platforms/topology/topology.hpp"

namespace foretrain {
namespace {

class NvSwitch : public NodeTopology {
 public:
  NvSwitch(const NodePlace& place, Network& network) : first_(network.links.size()) {
    for (std::size_t gpu = 0; gpu < place.size.gpus; ++gpu) {
      for (const char* direction : {"up", "down"}) {
        (void)add_link(network, fmt::format("node {} gpu {} {}", place.node, gpu, direction),
                       place.rate * place.achieved);
      }
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(LinkId(first_ + 2 * from));
    links.push_back(LinkId(first_ + 2 * to + 1));
  }

 private:
  std::size_t first_;  // links of a GPU follow one another: up, down
};

class NvSwitchWiring : public NodeWiring {
 public:
  [[nodiscard]] std::string_view name() const override { return "nvswitch"; }
  [[nodiscard]] std::unique_ptr<NodeTopology> build(const NodePlace& place,
                                                    Network& network) const override {
    return std::make_unique<NvSwitch>(place, network);
  }
  [[nodiscard]] std::string drawing(NodeSize size) const override {
    return fmt::format("gpu 0 .. gpu {} -- up, down -- switch\n", size.gpus - 1);
  }
};

}  // namespace

std::shared_ptr<const NodeWiring> nvswitch() { return std::make_shared<NvSwitchWiring>(); }

}  // namespace foretrain
