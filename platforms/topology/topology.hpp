// Topologies: how the GPUs of a node, and the NICs of all nodes, are wired. The visible tables are
// in catalog.cpp.
//
// A wiring is what a cluster's file says; building it adds links to a network and gives a topology,
// which knows the routes over them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platforms/fact.hpp"
#include "sim/config/reader.hpp"
#include "sim/program/network.hpp"

namespace foretrain {

struct NodeSize {
  std::size_t gpus = 0;
  std::size_t nics = 0;
};

/// A node that is to be wired.
struct NodePlace {
  std::size_t node = 0;  ///< its number; links are named after it
  NodeSize size;
  BytesPerSecond rate{0};  ///< datasheet, per GPU and direction
  double achieved = 1;     ///< share of datasheet rates that large transfers reach
};

/// An order in which a ring goes round GPUs of a node, and its share of the payload.
struct RingOrder {
  std::vector<std::size_t> gpus;
  double share = 1;
  BytesPerSecond rate{0};  ///< at which the rings together stay within every link; 0: the slowest
                           ///< link's, for a ring that shares none with another
};

/// One wired node. GPUs and NICs are numbered within it.
class NodeTopology {
 public:
  NodeTopology() = default;
  virtual ~NodeTopology() = default;
  NodeTopology(const NodeTopology&) = delete;
  NodeTopology& operator=(const NodeTopology&) = delete;

  /// Appends the links from one GPU to another, in order. REQUIRES: from != to.
  virtual void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const = 0;
  /// The links from a GPU to a NIC; none where the way to the NIC is never the bottleneck.
  virtual void append_to_nic(std::size_t /*gpu*/, std::size_t /*nic*/,
                             std::vector<LinkId>& /*links*/) const {}
  /// The links from a NIC to a GPU.
  virtual void append_from_nic(std::size_t /*nic*/, std::size_t /*gpu*/,
                               std::vector<LinkId>& /*links*/) const {}
  /// The links from a GPU to the processors of its host, and back; none where this topology does
  /// not have them (NodeWiring::joins_host).
  virtual void append_to_host(std::size_t /*gpu*/, std::vector<LinkId>& /*links*/) const {}
  virtual void append_from_host(std::size_t /*gpu*/, std::vector<LinkId>& /*links*/) const {}
  /// The rings that NCCL would build over these GPUs; the shares add up to one. Behind a switch one
  /// ring fills every port. REQUIRES: members ascend.
  [[nodiscard]] virtual std::vector<RingOrder> rings(
      const std::vector<std::size_t>& members) const {
    return {{members, 1.0}};
  }
};

/// The inside of a node as its cluster's file describes it.
class NodeWiring {
 public:
  NodeWiring() = default;
  virtual ~NodeWiring() = default;
  NodeWiring(const NodeWiring&) = delete;
  NodeWiring& operator=(const NodeWiring&) = delete;

  [[nodiscard]] virtual std::string_view name() const = 0;  ///< its row in the table
  /// Adds the links of one node.
  [[nodiscard]] virtual std::unique_ptr<NodeTopology> build(const NodePlace& place,
                                                            Network& network) const = 0;
  /// The NIC that a GPU sends through.
  [[nodiscard]] virtual std::size_t nic_of(std::size_t gpu, NodeSize size) const {
    return gpu * size.nics / size.gpus;
  }
  /// Whether GPUs reach one another over PCIe rather than NVLink or its like.
  [[nodiscard]] virtual bool is_pcie() const { return false; }
  /// Whether its links lead from every GPU to a processor.
  [[nodiscard]] virtual bool joins_host() const { return false; }
  /// Its own sourced numbers, named as in the table [node].
  [[nodiscard]] virtual std::vector<Fact> facts() const { return {}; }
  /// One node for people, in lines that end with a newline.
  [[nodiscard]] virtual std::string drawing(NodeSize size) const = 0;
};

/// Where traffic enters and leaves the fabric.
struct NicPort {
  std::size_t node = 0;
  std::size_t index = 0;  ///< within the node
  BytesPerSecond capacity{0};

  [[nodiscard]] std::string name() const;  ///< "node 3 nic 1"
};

/// The wired NICs: which links lead from one to another.
class FabricTopology {
 public:
  FabricTopology() = default;
  virtual ~FabricTopology() = default;
  FabricTopology(const FabricTopology&) = delete;
  FabricTopology& operator=(const FabricTopology&) = delete;

  /// Appends the links from one port to another, in order. REQUIRES: ports of unlike nodes.
  virtual void append_route(std::size_t from, std::size_t to, std::vector<LinkId>& links) const = 0;
};

/// What joins the nodes, as the cluster's file describes it.
class FabricWiring {
 public:
  FabricWiring() = default;
  virtual ~FabricWiring() = default;
  FabricWiring(const FabricWiring&) = delete;
  FabricWiring& operator=(const FabricWiring&) = delete;

  [[nodiscard]] virtual std::string_view name() const = 0;  ///< its row in the table
  /// Adds the links of these ports; those of a node follow one another, as the nodes do. Links of
  /// the fabric carry `achieved` of their datasheet rate.
  [[nodiscard]] virtual std::unique_ptr<FabricTopology> build(std::span<const NicPort> ports,
                                                              double achieved,
                                                              Network& network) const = 0;
  /// Whether a GPU reaches a NIC on another rail through its neighbour there (NCCL's PXN) instead
  /// of letting the message change rails in the fabric.
  [[nodiscard]] virtual bool is_pxn() const { return false; }
  /// The most nodes that it can hold; 0: any number.
  [[nodiscard]] virtual std::size_t max_nodes() const { return 0; }
  /// Its own sourced numbers, named as in the table [fabric].
  [[nodiscard]] virtual std::vector<Fact> facts() const { return {}; }
  /// The fabric of this many nodes for people, in lines that end with a newline.
  [[nodiscard]] virtual std::string drawing(std::size_t nodes, std::size_t nics) const = 0;
};

/// `read` takes a topology's own keys from the table [node] or [fabric]; `rate` is the table's.
struct NodeTopologyRow {
  std::string_view name;
  std::string_view sentence;
  std::shared_ptr<const NodeWiring> (*read)(config::Reader& table, NodeSize size,
                                            BytesPerSecond rate);
};
struct FabricTopologyRow {
  std::string_view name;
  std::string_view sentence;
  std::shared_ptr<const FabricWiring> (*read)(config::Reader& table);
};

/// All topologies.
[[nodiscard]] std::span<const NodeTopologyRow> node_topologies();
[[nodiscard]] std::span<const FabricTopologyRow> fabric_topologies();

/// Adds one link and returns its id.
[[nodiscard]] LinkId add_link(Network& network, std::string name, BytesPerSecond capacity);

// Those that stand alone, without keys.
[[nodiscard]] std::shared_ptr<const NodeWiring> nvswitch();
[[nodiscard]] std::shared_ptr<const FabricWiring> non_blocking();
// Those that read keys of their own, one file each.
[[nodiscard]] std::shared_ptr<const FabricWiring> read_single_switch(config::Reader& table);
[[nodiscard]] std::shared_ptr<const FabricWiring> read_fat_tree(config::Reader& table);
[[nodiscard]] std::shared_ptr<const FabricWiring> read_dragonfly(config::Reader& table);
[[nodiscard]] std::shared_ptr<const FabricWiring> read_torus(config::Reader& table);

[[nodiscard]] std::shared_ptr<const NodeWiring> read_full_mesh(config::Reader& table, NodeSize size,
                                                               BytesPerSecond rate);
[[nodiscard]] std::shared_ptr<const NodeWiring> read_hybrid_cube_mesh(config::Reader& table,
                                                                      NodeSize size,
                                                                      BytesPerSecond rate);
[[nodiscard]] std::shared_ptr<const NodeWiring> read_pcie_tree(config::Reader& table, NodeSize size,
                                                               BytesPerSecond rate);
[[nodiscard]] std::shared_ptr<const NodeWiring> read_wired(config::Reader& table, NodeSize size,
                                                           BytesPerSecond rate);

}  // namespace foretrain
