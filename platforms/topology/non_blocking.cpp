// A fabric with full bisection bandwidth and ideal routing: what leaves a NIC arrives at another
// NIC and meets contention nowhere else. Rails, leaf and spine switches are not told apart.
// SPDX-License-Identifier: Apache-2.0
#include "platforms/topology/topology.hpp"

namespace foretrain {
namespace {

class NonBlocking : public Topology {
 public:
  NonBlocking(std::span<const Port> ports, BytesPerSecond capacity, Network& network) {
    for (const Port& port : ports) {
      out_.push_back(add_link(network, port.name + " out", capacity));
      in_.push_back(add_link(network, port.name + " in", capacity));
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(out_[from]);
    links.push_back(in_[to]);
  }

 private:
  std::vector<LinkId> out_;
  std::vector<LinkId> in_;
};

}  // namespace

std::unique_ptr<Topology> non_blocking(std::span<const Port> ports, BytesPerSecond capacity,
                                       Network& network) {
  return std::make_unique<NonBlocking>(ports, capacity, network);
}

}  // namespace foretrain
