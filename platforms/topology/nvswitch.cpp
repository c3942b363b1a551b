// GPUs behind NVSwitch: any pair talks at full rate in both directions at once, so only a GPU's own
// ports can be the bottleneck. On an H200 node, traffic both ways at once reached 783.7 GB/s
// against 396.4 GB/s one way (stas00/ml-engineering): up and down are independent links.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/topology/topology.hpp"

namespace foretrain {
namespace {

class NvSwitch : public Topology {
 public:
  NvSwitch(std::span<const Port> ports, BytesPerSecond capacity, Network& network) {
    for (const Port& port : ports) {
      up_.push_back(add_link(network, port.name + " up", capacity));
      down_.push_back(add_link(network, port.name + " down", capacity));
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(up_[from]);
    links.push_back(down_[to]);
  }

 private:
  std::vector<LinkId> up_;
  std::vector<LinkId> down_;
};

}  // namespace

std::unique_ptr<Topology> nvswitch(std::span<const Port> ports, BytesPerSecond capacity,
                                   Network& network) {
  return std::make_unique<NvSwitch>(ports, capacity, network);
}

}  // namespace foretrain
