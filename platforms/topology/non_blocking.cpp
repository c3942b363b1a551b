// A fabric with full bisection bandwidth and ideal routing: what leaves a NIC arrives at another
// NIC and meets contention nowhere else.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "platforms/topology/nic_links.hpp"

namespace foretrain {
namespace {

class NonBlocking : public FabricTopology {
 public:
  NonBlocking(std::span<const NicPort> ports, Network& network) : nics_(ports, network) {}

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(nics_.out(from));
    links.push_back(nics_.in(to));
  }

 private:
  NicLinks nics_;
};

class NonBlockingWiring : public FabricWiring {
 public:
  [[nodiscard]] std::string_view name() const override { return "non_blocking"; }
  [[nodiscard]] std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports, double,
                                                      Network& network) const override {
    return std::make_unique<NonBlocking>(ports, network);
  }
  [[nodiscard]] std::string drawing(std::size_t nodes, std::size_t nics) const override {
    return fmt::format("node 0 .. node {}, {} NICs each -- out, in -- fabric, never full\n",
                       nodes - 1, nics);
  }
};

}  // namespace

std::shared_ptr<const FabricWiring> non_blocking() { return std::make_shared<NonBlockingWiring>(); }

}  // namespace foretrain
