// A cluster as data (GPU, node, NICs, fabric), and as a machine: devices, links and routes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "platforms/fact.hpp"
#include "platforms/gpu.hpp"
#include "sim/program/network.hpp"

namespace foretrain {

/// Achieved share of a link's rate for one size of collective payload; log-interpolated between
/// points, constant outside them.
struct SizeShare {
  Bytes payload;
  double share = 1;
};

/// What joins the GPUs of one node, or the nodes. A collective of s ring steps waits
/// collective_latency + s * hop_latency besides its transfers. Of a group that spans nodes, a step
/// that leaves a node costs the fabric's hop_latency, the others its node_hop_latency.
struct Interconnect {
  std::string topology;          ///< a row of platforms/topology
  Sourced<BytesPerSecond> rate;  ///< per direction: per GPU inside a node, per NIC between nodes
  Sourced<double> achieved;      ///< share of `rate` that large transfers reach
  Sourced<Seconds> collective_latency;               ///< fixed cost of one collective
  Sourced<Seconds> hop_latency;                      ///< cost of one step of a ring
  std::optional<Sourced<Seconds>> node_hop_latency;  ///< of a fabric; none: as in the node alone
  Sourced<Seconds> point_to_point_latency;
  std::vector<SizeShare>
      size_shares;  ///< mid-size efficiency, relative to `achieved`; may be empty
  std::string size_shares_source;

  /// size_shares at this payload; 1 without points.
  [[nodiscard]] double share_at(Bytes payload) const;
};

struct Cluster {
  std::string name;
  std::string source;
  Gpu gpu;
  std::int64_t gpus_per_node = 8;
  std::int64_t nics_per_node = 8;  ///< at most gpus_per_node; GPU i uses NIC i * nics / gpus
  std::int64_t nodes = 1;          ///< default size; a run file may say another
  std::int64_t max_nodes = 0;      ///< 0: no limit known
  std::optional<Sourced<double>> sustained;  ///< replaces the GPU's: clocks and power of this site
  Interconnect node;
  Interconnect fabric;
};

/// Tables that replace keys of a cluster's file and of its GPU's.
struct PlatformOverrides {
  const config::Value* cluster = nullptr;
  const config::Value* gpu = nullptr;
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
  virtual ~Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const Network& network() const { return network_; }
  [[nodiscard]] const Cluster& cluster() const { return cluster_; }
  [[nodiscard]] std::size_t num_devices() const { return num_devices_; }
  [[nodiscard]] std::size_t node_of(DeviceId device) const;
  [[nodiscard]] std::size_t local_index(DeviceId device) const;

  /// Appends the links from one device to another, in order. REQUIRES: from != to.
  virtual void append_route(DeviceId from, DeviceId to, std::vector<LinkId>& links) const = 0;

 protected:
  Machine(Cluster cluster, std::size_t nodes);

  Cluster cluster_;
  std::size_t num_devices_;
  Network network_;
};

/// REQUIRES: nodes >= 1.
[[nodiscard]] std::unique_ptr<Machine> build_machine(const Cluster& cluster, std::size_t nodes);

/// The resolved platform for people: its size, its links, and one line per number with its origin.
[[nodiscard]] std::string describe(const Machine& machine);

}  // namespace foretrain
