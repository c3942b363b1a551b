// A dragonfly (Kim, Dally, Scott, Abts, ISCA 2008), as Slingshot builds it: the switches of a group
// are joined pair by pair, and so are the groups.
//
// routing = "minimal": traffic between two switches, or two groups, has only the links between
// those two. "adaptive": it spreads over all links that leave the switch or the group. Which switch
// of a group holds the link to another group is not modelled: the hops to it and from it are free.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "platforms/topology/nic_links.hpp"

namespace foretrain {
namespace {

enum class Routing : std::uint8_t { adaptive, minimal };

struct Shape {
  std::size_t nodes_per_switch = 1;
  std::size_t switches_per_group = 1;
  std::size_t groups = 1;
  std::size_t local_links = 1;   ///< between two switches of a group
  std::size_t global_links = 1;  ///< between two groups
  Routing routing = Routing::adaptive;
  Sourced<BytesPerSecond> link_rate;

  [[nodiscard]] std::size_t nodes_per_group() const {
    return nodes_per_switch * switches_per_group;
  }
  [[nodiscard]] BytesPerSecond rate_of(std::size_t links) const {
    return link_rate.value * static_cast<double>(links);
  }
};

/// Links between the members of a set: between every two of them, or, under adaptive routing, all
/// that leave a member together and all that reach it.
class Joined {
 public:
  Joined(const std::string& name, std::size_t members, BytesPerSecond pair, BytesPerSecond all,
         Routing routing, Network& network)
      : first_(network.links.size()), members_(members), routing_(routing) {
    for (std::size_t a = 0; members > 1 && a < members; ++a) {
      if (routing == Routing::adaptive) {
        (void)add_link(network, fmt::format("{} {} out", name, a), all);
        (void)add_link(network, fmt::format("{} {} in", name, a), all);
        continue;
      }
      for (std::size_t b = 0; b < members; ++b) {
        if (a != b) {
          (void)add_link(network, fmt::format("{} {} to {}", name, a, b), pair);
        }
      }
    }
  }

  /// REQUIRES: a != b.
  void append_route(std::size_t a, std::size_t b, std::vector<LinkId>& links) const {
    if (routing_ == Routing::adaptive) {
      links.push_back(LinkId(first_ + 2 * a));
      links.push_back(LinkId(first_ + 2 * b + 1));
    } else {
      links.push_back(LinkId(first_ + a * (members_ - 1) + (b < a ? b : b - 1)));
    }
  }

 private:
  std::size_t first_;
  std::size_t members_;
  Routing routing_;
};

class Dragonfly : public FabricTopology {
 public:
  Dragonfly(std::span<const NicPort> ports, const Shape& shape, double achieved, Network& network)
      : shape_(shape), nics_(ports, network) {
    nodes_.reserve(ports.size());
    for (const NicPort& port : ports) {
      nodes_.push_back(port.node);
    }
    const std::size_t groups = nodes_.back() / shape.nodes_per_group() + 1;
    const std::size_t others = shape.switches_per_group - 1;
    switches_.reserve(groups);
    for (std::size_t group = 0; group < groups; ++group) {
      switches_.emplace_back(fmt::format("group {} switch", group), shape.switches_per_group,
                             shape.rate_of(shape.local_links) * achieved,
                             shape.rate_of(shape.local_links * others) * achieved, shape.routing,
                             network);
    }
    groups_.emplace("group", groups, shape.rate_of(shape.global_links) * achieved,
                    shape.rate_of(shape.global_links * (shape.groups - 1)) * achieved,
                    shape.routing, network);
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(nics_.out(from));
    if (group_of(from) != group_of(to)) {
      groups_->append_route(group_of(from), group_of(to), links);
    } else if (switch_of(from) != switch_of(to)) {
      switches_[group_of(from)].append_route(switch_of(from), switch_of(to), links);
    }
    links.push_back(nics_.in(to));
  }

 private:
  [[nodiscard]] std::size_t group_of(std::size_t port) const {
    return nodes_[port] / shape_.nodes_per_group();
  }
  [[nodiscard]] std::size_t switch_of(std::size_t port) const {
    return nodes_[port] % shape_.nodes_per_group() / shape_.nodes_per_switch;
  }

  Shape shape_;
  NicLinks nics_;
  std::vector<std::size_t> nodes_;  // by port
  std::vector<Joined> switches_;    // by group
  std::optional<Joined> groups_;
};

class DragonflyWiring : public FabricWiring {
 public:
  explicit DragonflyWiring(Shape shape) : shape_(std::move(shape)) {}

  [[nodiscard]] std::string_view name() const override { return "dragonfly"; }
  [[nodiscard]] std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports,
                                                      double achieved,
                                                      Network& network) const override {
    return std::make_unique<Dragonfly>(ports, shape_, achieved, network);
  }
  [[nodiscard]] std::size_t max_nodes() const override {
    return shape_.groups * shape_.nodes_per_group();
  }
  [[nodiscard]] std::vector<Fact> facts() const override {
    return {fact("link_rate", shape_.link_rate)};
  }
  [[nodiscard]] std::string drawing(std::size_t nodes, std::size_t nics) const override {
    const char* routing = shape_.routing == Routing::adaptive ? "adaptive" : "minimal";
    return fmt::format(
        "group 0 .. {} of {}, {} links between every two, {} routing\n"
        "  switch 0 .. {}, {} link{} between every two\n"
        "    {} node{} each, of node 0 .. node {}, {} NICs each -- out, in\n",
        (nodes - 1) / shape_.nodes_per_group(), shape_.groups, shape_.global_links, routing,
        shape_.switches_per_group - 1, shape_.local_links, shape_.local_links == 1 ? "" : "s",
        shape_.nodes_per_switch, shape_.nodes_per_switch == 1 ? "" : "s", nodes - 1, nics);
  }

 private:
  Shape shape_;
};

constexpr std::array<config::Choice<Routing>, 2> kRoutings = {
    {{"adaptive", Routing::adaptive}, {"minimal", Routing::minimal}}};

}  // namespace

// nodes_per_switch, switches_per_group, groups; link_rate of one link between switches, one way;
// local_links between two switches of a group (1), global_links between two groups; routing.
std::shared_ptr<const FabricWiring> read_dragonfly(config::Reader& table) {
  const auto count = [&](const char* key) {
    return static_cast<std::size_t>(table.count(key, config::Range{1, 10'000}));
  };
  Shape shape;
  shape.nodes_per_switch = count("nodes_per_switch");
  shape.switches_per_group = count("switches_per_group");
  shape.groups = count("groups");
  shape.local_links =
      static_cast<std::size_t>(table.count("local_links", 1, config::Range{1, 10'000}));
  shape.global_links = count("global_links");
  shape.routing = table.choice<Routing>("routing", kRoutings, Routing::adaptive);
  shape.link_rate = table.get<Sourced<BytesPerSecond>>("link_rate");
  if (table.has("link_rate") && shape.link_rate.value <= BytesPerSecond(0)) {
    table.fail("link_rate", "expected a rate greater than zero");
  }
  return std::make_shared<DragonflyWiring>(std::move(shape));
}

}  // namespace foretrain
