// One switch that every NIC is plugged into, such as an Ethernet switch of a laboratory. Its
// backplane, if it is narrower than its ports, is shared by everything that crosses the switch.
// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "platforms/topology/nic_links.hpp"

namespace foretrain {
namespace {

class SingleSwitch : public FabricTopology {
 public:
  SingleSwitch(std::span<const NicPort> ports, std::optional<BytesPerSecond> backplane,
               Network& network)
      : nics_(ports, network) {
    if (backplane) {
      backplane_ = add_link(network, "switch backplane", *backplane);
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(nics_.out(from));
    if (backplane_) {
      links.push_back(*backplane_);
    }
    links.push_back(nics_.in(to));
  }

 private:
  NicLinks nics_;
  std::optional<LinkId> backplane_;
};

class SingleSwitchWiring : public FabricWiring {
 public:
  SingleSwitchWiring(std::size_t ports, std::optional<Sourced<BytesPerSecond>> backplane)
      : ports_(ports), backplane_(std::move(backplane)) {}

  [[nodiscard]] std::string_view name() const override { return "single_switch"; }
  [[nodiscard]] std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports,
                                                      double achieved,
                                                      Network& network) const override {
    std::optional<BytesPerSecond> backplane;
    if (backplane_) {
      backplane = backplane_->value * achieved;
    }
    return std::make_unique<SingleSwitch>(ports, backplane, network);
  }
  [[nodiscard]] std::size_t max_nodes() const override { return ports_; }
  [[nodiscard]] std::vector<Fact> facts() const override {
    return backplane_ ? std::vector<Fact>{fact("backplane", *backplane_)} : std::vector<Fact>{};
  }
  [[nodiscard]] std::string drawing(std::size_t nodes, std::size_t nics) const override {
    return fmt::format("node 0 .. node {}, {} NICs each -- out, in -- one switch, {}\n", nodes - 1,
                       nics,
                       backplane_ ? "backplane " + config::show(backplane_->value) : "never full");
  }

 private:
  std::size_t ports_;  // nodes that can be plugged in; 0: any number
  std::optional<Sourced<BytesPerSecond>> backplane_;
};

}  // namespace

// max_nodes = how many nodes can be plugged in, backplane = what crosses the switch at most, summed
// over all ports, one way; both optional.
std::shared_ptr<const FabricWiring> read_single_switch(config::Reader& table) {
  const auto ports = table.count("max_nodes", 0, config::Range{1, 100'000});
  auto backplane = table.maybe<Sourced<BytesPerSecond>>("backplane");
  if (backplane && backplane->value <= BytesPerSecond(0)) {
    table.fail("backplane", "expected a rate greater than zero");
  }
  return std::make_shared<SingleSwitchWiring>(static_cast<std::size_t>(ports),
                                              std::move(backplane));
}

}  // namespace foretrain
