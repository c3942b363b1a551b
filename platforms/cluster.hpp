// A cluster as data (GPU, node, NICs, fabric), and as a machine: devices, links and routes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "platforms/fact.hpp"
#include "platforms/gpu.hpp"
#include "platforms/host.hpp"
#include "platforms/topology/topology.hpp"
#include "sim/program/network.hpp"
#include "sim/program/program.hpp"

namespace foretrain {

/// Whose rules choose algorithm and protocol of a collective.
enum class CollectiveLibrary : std::uint8_t { nccl, rccl, gloo };

/// What joins the GPUs of one node, or the nodes. Collectives of groups that span nodes take their
/// latencies from the fabric. Either latency_multiplier or hop_latency is there.
struct Interconnect {
  Sourced<BytesPerSecond> rate;  ///< per direction: per GPU inside a node, per NIC between nodes
  Sourced<double> achieved;      ///< share of `rate` that large transfers reach
  Sourced<Seconds> collective_latency;  ///< fixed cost of one collective: launch, and the like
  /// Of the latencies that NCCL's tuning model tables.
  std::optional<Sourced<double>> latency_multiplier;
  std::optional<Sourced<Seconds>> hop_latency;       ///< cost of a step, where no table applies
  std::optional<Sourced<Seconds>> node_hop_latency;  ///< of a fabric; none: as in the node alone
  /// Payload at which one step of a collective's pipeline reaches half of its rate; none: every
  /// payload reaches it. Inside a node for a ring, between nodes for one level of a tree.
  std::optional<Sourced<Bytes>> half_rate_payload;
  /// The largest payload that talks in NCCL's LL protocol; none: as NCCL's rules have it.
  std::optional<Sourced<Bytes>> low_latency_limit;
  Sourced<Seconds> point_to_point_latency;
  /// Of a node: share of `rate` at which a GPU's port works while the switch adds up (NVLink
  /// SHARP); none: it cannot.
  std::optional<Sourced<double>> in_switch_reduction;
  /// What a communication takes of a GPU's compute rate while it is in flight; none: nothing.
  std::optional<Sourced<double>> compute_share;
};

struct Cluster;

/// Nodes of one kind in a mixed cluster: those of another cluster's file.
struct ClusterPart {
  std::shared_ptr<const Cluster> cluster;
  std::int64_t nodes = 1;  ///< at the mixed cluster's default size
};

/// The port of a node's NICs is slower than the others, as with an older switch or cable.
struct SlowPort {
  std::int64_t node = 0;
  std::optional<std::int64_t> nic;  ///< all of the node's, unless given
  Sourced<BytesPerSecond> rate;
};

/// GPU, nics_per_node and node of a mixed cluster are those of its first part.
struct Cluster {
  std::string name;
  std::string source;
  std::vector<ClusterPart> parts;  ///< in the order of the nodes; empty: all nodes are alike
  Gpu gpu;
  std::int64_t gpus_per_node = 8;
  std::int64_t nics_per_node = 8;  ///< at most gpus_per_node
  std::int64_t nodes = 1;          ///< default size; a run file may say another
  std::int64_t max_nodes = 0;      ///< 0: no limit known
  CollectiveLibrary collectives = CollectiveLibrary::nccl;
  std::optional<Sourced<double>> sustained;  ///< replaces the GPU's: clocks and power of this site
  Interconnect node;
  Interconnect fabric;
  std::shared_ptr<const NodeWiring> node_wiring = nvswitch();
  std::shared_ptr<const FabricWiring> fabric_wiring = non_blocking();
  std::vector<SlowPort> slow_ports;
  std::optional<Host> host;  ///< none: nothing is said of it, and nothing can be offloaded

  /// The kinds of nodes: the parts' clusters, or this one.
  [[nodiscard]] std::vector<const Cluster*> kinds() const;
  /// How many nodes of each kind this many nodes have, in the proportion of the default size.
  /// REQUIRES: a multiple of node_unit().
  [[nodiscard]] std::vector<std::int64_t> nodes_of_kinds(std::int64_t total) const;
  /// The number of nodes that holds every kind in its proportion; 1 where all nodes are alike.
  [[nodiscard]] std::int64_t node_unit() const;
  /// Of the GPU that has least.
  [[nodiscard]] Bytes least_memory() const;
};

/// The same cluster, of whose hosts nothing is said.
[[nodiscard]] Cluster without_hosts(Cluster cluster);

/// Tables that replace keys of a cluster's file and of its GPU's.
struct PlatformOverrides {
  const config::Value* cluster = nullptr;
  const config::Value* gpu = nullptr;
  bool is_part = false;  ///< the file is part of a mixed cluster and must not be mixed itself
};

[[nodiscard]] Cluster read_cluster(config::Reader& reader, config::Sources& sources,
                                   const std::string& platforms_directory,
                                   const PlatformOverrides& overrides = {});
/// A name in platforms/clusters or a path to a .toml. Throws ConfigError.
[[nodiscard]] Cluster load_cluster(config::Sources& sources, const std::string& name_or_path,
                                   const std::string& platforms_directory,
                                   const PlatformOverrides& overrides = {});

/// Every sourced number of the cluster, its GPU's included, named as in its file.
[[nodiscard]] std::vector<Fact> facts(const Cluster& cluster);

/// The cluster at a given size, with every link and the route between any two devices.
/// Device d is GPU d % gpus_per_node of node d / gpus_per_node.
class Machine {
 public:
  /// REQUIRES: nodes is positive and a multiple of cluster.node_unit().
  Machine(Cluster cluster, std::size_t nodes);
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const Network& network() const { return network_; }
  [[nodiscard]] Network& network() { return network_; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] std::size_t num_devices() const { return num_devices_; }
  [[nodiscard]] std::size_t node_of(DeviceId device) const {
    return device.index() / gpus_per_node_;
  }
  [[nodiscard]] std::size_t local_index(DeviceId device) const {
    return device.index() % gpus_per_node_;
  }
  /// Which of cluster().kinds() a node is of.
  [[nodiscard]] std::size_t kind_of(std::size_t node) const { return kind_of_node_[node]; }
  [[nodiscard]] const Gpu& gpu_of(DeviceId device) const;
  /// What joins the GPUs of a node.
  [[nodiscard]] const Interconnect& inside(std::size_t node) const;
  /// The NIC of its node that a device sends through.
  [[nodiscard]] std::size_t nic_of(DeviceId device) const;
  [[nodiscard]] std::size_t num_nics(std::size_t node) const;

  /// Whether the hosts of all nodes are described.
  [[nodiscard]] bool has_hosts() const;
  /// Appends the links of a copy between a device and its host, or of the host's own work.
  /// REQUIRES: has_hosts().
  void append_host_route(DeviceId device, CopyDirection direction,
                         std::vector<LinkId>& links) const;
  /// Appends the links from one device to another, in order. REQUIRES: from != to.
  void append_route(DeviceId from, DeviceId to, std::vector<LinkId>& links) const;
  /// The rings inside a node over these of its devices; see NodeTopology::rings.
  /// REQUIRES: the devices are of one node and ascend.
  [[nodiscard]] std::vector<RingOrder> rings(const std::vector<DeviceId>& members) const;

 private:
  void append_way_out(DeviceId from, std::size_t nic, std::vector<LinkId>& links) const;

  Cluster cluster_;
  std::vector<const Cluster*> kinds_;  // parts of cluster_, or itself
  std::size_t gpus_per_node_;
  std::size_t num_devices_;
  Network network_;
  std::vector<std::size_t> kind_of_node_;
  std::vector<std::size_t> first_nic_;  // by node; of the fabric's ports
  std::vector<std::unique_ptr<NodeTopology>> nodes_;
  std::vector<std::unique_ptr<HostLinks>> hosts_;  // by node; empty where not described
  std::unique_ptr<FabricTopology> fabric_;
};

/// REQUIRES: as for Machine.
[[nodiscard]] std::unique_ptr<Machine> build_machine(const Cluster& cluster, std::size_t nodes);

/// The resolved platform for people: its size, its links, and one line per number with its origin.
[[nodiscard]] std::string describe(const Machine& machine);

}  // namespace foretrain
