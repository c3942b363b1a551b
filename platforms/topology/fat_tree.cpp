// Leaf, pod and spine: levels of switches, each of which may have less capacity up than down. The
// switches above a unit (a leaf's nodes, a pod's leaves) count as one link up and one down, as
// under ideal routing over equal paths; what imperfect hashing costs is part of `achieved`. Above
// the last level nothing is ever full.
//
// With rails, NIC i of every node of a leaf unit is on leaf i: traffic between unlike rails climbs
// to the level above even inside the unit.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "platforms/topology/nic_links.hpp"

namespace foretrain {
namespace {

/// One level: units of so many nodes, and capacity down over capacity up at its switches.
struct Level {
  std::string name;
  std::size_t nodes = 0;
  Sourced<double> oversubscription;
};

/// The two links of each unit of one level; none where the switches have full capacity up, because
/// then no unit can send more than they carry.
class LevelLinks {
 public:
  /// `units` has the unit of every port.
  LevelLinks(const std::string& name, std::span<const NicPort> ports,
             std::vector<std::size_t> units, double oversubscription, Network& network)
      : units_(std::move(units)) {
    if (oversubscription <= 1) {
      return;
    }
    std::vector<BytesPerSecond> below;
    for (std::size_t port = 0; port < ports.size(); ++port) {
      if (below.size() <= units_[port]) {
        below.resize(units_[port] + 1, BytesPerSecond(0));
      }
      below[units_[port]] += ports[port].capacity;
    }
    first_ = network.links.size();
    for (std::size_t unit = 0; unit < below.size(); ++unit) {
      for (const char* direction : {"up", "down"}) {
        (void)add_link(network, fmt::format("{} {} {}", name, unit, direction),
                       below[unit] / oversubscription);
      }
    }
  }

  [[nodiscard]] bool is_same(std::size_t a, std::size_t b) const { return units_[a] == units_[b]; }
  void append_up(std::size_t port, std::vector<LinkId>& links) const {
    if (first_) {
      links.push_back(LinkId(*first_ + 2 * units_[port]));
    }
  }
  void append_down(std::size_t port, std::vector<LinkId>& links) const {
    if (first_) {
      links.push_back(LinkId(*first_ + 2 * units_[port] + 1));
    }
  }

 private:
  std::vector<std::size_t> units_;    // by port
  std::optional<std::size_t> first_;  // links of a unit follow one another: up, down
};

class FatTree : public FabricTopology {
 public:
  FatTree(std::span<const NicPort> ports, const std::vector<Level>& levels, bool has_rails,
          Network& network)
      : nics_(ports, network) {
    std::size_t rails = 1;
    for (const NicPort& port : ports) {
      rails = has_rails ? std::max(rails, port.index + 1) : 1;
    }
    double oversubscription = 1;
    levels_.reserve(levels.size());
    for (std::size_t i = 0; i < levels.size(); ++i) {
      std::vector<std::size_t> units;
      units.reserve(ports.size());
      for (const NicPort& port : ports) {
        const std::size_t unit = port.node / levels[i].nodes;
        units.push_back(i == 0 ? unit * rails + port.index % rails : unit);
      }
      oversubscription *= levels[i].oversubscription.value;
      levels_.emplace_back(levels[i].name, ports, std::move(units), oversubscription, network);
    }
  }

  void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const override {
    links.push_back(nics_.out(from));
    std::size_t top = 0;  // the levels that the route climbs through
    while (top < levels_.size() && !levels_[top].is_same(from, to)) {
      levels_[top].append_up(from, links);
      ++top;
    }
    while (top > 0) {
      --top;
      levels_[top].append_down(to, links);
    }
    links.push_back(nics_.in(to));
  }

 private:
  NicLinks nics_;
  std::vector<LevelLinks> levels_;
};

class FatTreeWiring : public FabricWiring {
 public:
  FatTreeWiring(std::vector<Level> levels, bool has_rails, bool is_pxn)
      : levels_(std::move(levels)), has_rails_(has_rails), is_pxn_(is_pxn) {}

  [[nodiscard]] std::string_view name() const override { return "fat_tree"; }
  [[nodiscard]] std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports, double,
                                                      Network& network) const override {
    return std::make_unique<FatTree>(ports, levels_, has_rails_, network);
  }
  [[nodiscard]] bool is_pxn() const override { return is_pxn_; }
  [[nodiscard]] std::vector<Fact> facts() const override {
    std::vector<Fact> facts;
    facts.reserve(levels_.size());
    for (const Level& level : levels_) {
      facts.push_back(fact("levels." + level.name + ".oversubscription", level.oversubscription));
    }
    return facts;
  }
  [[nodiscard]] std::string drawing(std::size_t nodes, std::size_t nics) const override {
    std::string text = "spine, never full\n";
    std::string indent = "  ";
    for (std::size_t i = levels_.size(); i-- > 0;) {
      const Level& level = levels_[i];
      const std::size_t units = (nodes + level.nodes - 1) / level.nodes;
      text += fmt::format(
          "{}{} 0 .. {} {}, {} nodes each, {}:1 oversubscribed{}\n", indent, level.name, level.name,
          units - 1, level.nodes, show_number(level.oversubscription.value),
          i == 0 && has_rails_ ? fmt::format("; {} rails, one switch each{}", nics,
                                             is_pxn_ ? "; rails are changed over NVLink (PXN)" : "")
                               : "");
      indent += "  ";
    }
    return text +
           fmt::format("{}node 0 .. node {}, {} NICs each -- out, in\n", indent, nodes - 1, nics);
  }

 private:
  std::vector<Level> levels_;  // from the leaves up
  bool has_rails_;
  bool is_pxn_;
};

std::vector<Level> read_levels(config::Reader& table) {
  std::vector<Level> levels;
  for (config::Reader& entry : table.children("levels")) {
    Level level;
    level.name = entry.get<std::string>("name");
    level.nodes = static_cast<std::size_t>(entry.count("nodes", config::Range{1, 1'000'000}));
    level.oversubscription = entry.fraction("oversubscription", 1.0, 1000.0);
    if (!levels.empty() &&
        (level.nodes <= levels.back().nodes || level.nodes % levels.back().nodes != 0)) {
      entry.fail("nodes", fmt::format("expected a multiple of the {} nodes of the level below",
                                      levels.back().nodes));
      level.nodes = levels.back().nodes;
    }
    entry.finish();
    levels.push_back(std::move(level));
  }
  if (levels.empty()) {
    table.fail("levels",
               "levels: expected at least one, such as { name = \"leaf\", nodes = 32, "
               "oversubscription = 1 }");
  }
  return levels;
}

}  // namespace

// levels = from the leaves up: name, nodes below one unit, oversubscription (capacity down / up at
// its switches, at least 1); rails = true: NIC i of a node is on leaf i of its unit; pxn = true:
// GPUs reach other rails over NVLink.
std::shared_ptr<const FabricWiring> read_fat_tree(config::Reader& table) {
  std::vector<Level> levels = read_levels(table);
  const bool has_rails = table.get<bool>("rails", false);
  const bool is_pxn = table.get<bool>("pxn", false);
  if (is_pxn && !has_rails) {
    table.fail("pxn", "has no effect without rails = true; remove it");
  }
  return std::make_shared<FatTreeWiring>(std::move(levels), has_rails, is_pxn);
}

}  // namespace foretrain
