// Wires a cluster of a given size: one topology per node joins its GPUs, one joins all NICs.
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "platforms/cluster.hpp"
#include "platforms/topology/topology.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

std::vector<Port> ports_of(std::size_t node, std::size_t count, const char* kind) {
  std::vector<Port> ports;
  for (std::size_t i = 0; i < count; ++i) {
    ports.push_back(
        {"node " + std::to_string(node) + " " + kind + " " + std::to_string(i), node, i});
  }
  return ports;
}

BytesPerSecond capacity_of(const Interconnect& interconnect) {
  return interconnect.rate.value * interconnect.achieved.value;
}

class SwitchedMachine : public Machine {
 public:
  SwitchedMachine(const Cluster& description, std::size_t nodes)
      : Machine(description, nodes),
        gpus_(static_cast<std::size_t>(description.gpus_per_node)),
        nics_(static_cast<std::size_t>(description.nics_per_node)) {
    const TopologyRow& inside = topology(cluster_.node.topology);
    std::vector<Port> all_nics;
    for (std::size_t node = 0; node < nodes; ++node) {
      nodes_.push_back(
          inside.build(ports_of(node, gpus_, "gpu"), capacity_of(cluster_.node), network_));
      for (Port& nic : ports_of(node, nics_, "nic")) {
        all_nics.push_back(std::move(nic));
      }
    }
    fabric_ =
        topology(cluster_.fabric.topology).build(all_nics, capacity_of(cluster_.fabric), network_);
  }

  void append_route(DeviceId from, DeviceId to, std::vector<LinkId>& links) const override {
    FORETRAIN_ASSERT(from != to, "a device sends nothing to itself");
    FORETRAIN_ASSERT(from.index() < num_devices_ && to.index() < num_devices_,
                     "device out of range");
    if (node_of(from) == node_of(to)) {
      nodes_[node_of(from)]->append_route(local_index(from), local_index(to), links);
    } else {
      fabric_->append_route(nic_of(from), nic_of(to), links);
    }
  }

 private:
  [[nodiscard]] std::size_t nic_of(DeviceId device) const {
    return node_of(device) * nics_ + local_index(device) * nics_ / gpus_;
  }

  std::size_t gpus_;  // per node
  std::size_t nics_;
  std::vector<std::unique_ptr<Topology>> nodes_;
  std::unique_ptr<Topology> fabric_;
};

}  // namespace

Machine::Machine(Cluster cluster, std::size_t nodes)
    : cluster_(std::move(cluster)),
      num_devices_(nodes * static_cast<std::size_t>(cluster_.gpus_per_node)) {
  FORETRAIN_ASSERT(nodes >= 1, "a machine has at least one node");
}

std::size_t Machine::node_of(DeviceId device) const {
  return device.index() / static_cast<std::size_t>(cluster_.gpus_per_node);
}

std::size_t Machine::local_index(DeviceId device) const {
  return device.index() % static_cast<std::size_t>(cluster_.gpus_per_node);
}

std::unique_ptr<Machine> build_machine(const Cluster& cluster, std::size_t nodes) {
  return std::make_unique<SwitchedMachine>(cluster, nodes);
}

}  // namespace foretrain
