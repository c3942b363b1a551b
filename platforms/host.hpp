// The host of a node's GPUs: its memory, what it can do there, and the links that lead to it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "platforms/fact.hpp"
#include "platforms/topology/topology.hpp"
#include "sim/config/reader.hpp"
#include "sim/program/network.hpp"

namespace foretrain {

/// [host] of a cluster's file.
struct Host {
  Sourced<Bytes> memory;                ///< of a node
  Sourced<BytesPerSecond> memory_rate;  ///< of a node: what all its processors read and write
  /// Of a node: traffic of an optimizer that runs on all its processors; none: the memory's.
  std::optional<Sourced<BytesPerSecond>> optimizer_rate;
  /// Achieved between one GPU and its host, one way; none: the node's topology has the links.
  std::optional<Sourced<BytesPerSecond>> link_rate;
  /// Achieved one way between a switch and the host, where GPUs share one.
  std::optional<Sourced<BytesPerSecond>> uplink_rate;
  std::int64_t gpus_per_uplink = 1;
  std::int64_t memories = 1;  ///< that share size and rates evenly, each near its own GPUs
};

[[nodiscard]] Host read_host(config::Reader table, NodeSize size, const NodeWiring& wiring);
[[nodiscard]] std::vector<Fact> facts(const Host& host);

/// The links of one node's host.
class HostLinks {
 public:
  /// Adds those that the node's topology does not have. REQUIRES: `node` outlives this.
  HostLinks(const Host& host, const NodePlace& place, const NodeTopology& node, Network& network);

  void append_to_host(std::size_t gpu, std::vector<LinkId>& links) const;
  void append_from_host(std::size_t gpu, std::vector<LinkId>& links) const;
  void append_inside(std::size_t gpu, std::vector<LinkId>& links) const;
  /// The GPU's own port, which its way to and from NICs crosses as well; none where the topology
  /// has these links.
  void append_port_out(std::size_t gpu, std::vector<LinkId>& links) const;
  void append_port_in(std::size_t gpu, std::vector<LinkId>& links) const;

 private:
  [[nodiscard]] LinkId memory_of(std::size_t gpu) const {
    return LinkId(first_memory_ + 2 * (gpu / gpus_per_memory_));
  }

  const NodeTopology& node_;
  bool has_ports_;
  bool has_uplinks_;
  std::size_t gpus_per_uplink_;
  std::size_t gpus_per_memory_;
  std::size_t first_port_ = 0;    // of each GPU: to the host, from it
  std::size_t first_uplink_ = 0;  // likewise
  std::size_t first_memory_ = 0;  // of each memory: itself, and its processors
};

}  // namespace foretrain
