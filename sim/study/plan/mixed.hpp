// Is the slow half worth using? On a cluster of unlike nodes: all of them as if alike, all with
// fewer layers on the slow ones, each kind alone; on one with slow ports: all, and all but the slow
// nodes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/study/plan/find_layout.hpp"

namespace foretrain {

/// One way to use the cluster, in its best layout.
struct NodeChoice {
  std::string words;  ///< "only DGX H100 80GB"
  std::int64_t nodes = 0;
  std::optional<PlanPoint> best;  ///< nothing: no layout fits, or none divides
  double tokens_per_second = 0;
  std::optional<double> price;  ///< of these nodes, per GPU and hour
  bool is_all = false;          ///< uses every node
};

/// Price per GPU and hour of a cluster's kinds of nodes, the mean; nothing where none is known.
using PriceOf = std::function<std::optional<double>(const Cluster&)>;

/// What a part of a mixed cluster's file is called there, in the order of the nodes.
using PartNames = std::vector<std::string>;

/// Whether there is anything to choose: kinds of nodes, or slow ports.
[[nodiscard]] bool has_unlike_nodes(const Cluster& cluster);

/// The ways to use `open.run.nodes` nodes; the fastest first. REQUIRES: has_unlike_nodes of the
/// cluster, and names of all parts.
[[nodiscard]] std::vector<NodeChoice> node_choices(const OpenRun& open, const PartNames& names,
                                                   const FindOptions& options,
                                                   const PriceOf& price = {});

/// Layers of each stage, each stage being as fast as `speeds` says: in proportion, whole, at least
/// one, `layers` in all; `shift` layers more go to the fastest stages than that.
[[nodiscard]] std::vector<std::int64_t> deal_layers(std::int64_t layers,
                                                    const std::vector<double>& speeds,
                                                    std::int64_t shift = 0);

/// With days and money of a training of so many tokens, unless 0.
[[nodiscard]] std::string node_choices_text(const std::vector<NodeChoice>& choices,
                                            double tokens = 0);

}  // namespace foretrain
