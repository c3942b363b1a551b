// Wires a cluster of a given size: one topology per node joins its GPUs and leads to its NICs, one
// joins all NICs.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "platforms/cluster.hpp"
#include "sim/core/error.hpp"

namespace foretrain {
namespace {

NodeSize size_of(const Cluster& kind) {
  return {static_cast<std::size_t>(kind.gpus_per_node),
          static_cast<std::size_t>(kind.nics_per_node)};
}

BytesPerSecond achieved_by(const Interconnect& fabric) {
  return fabric.rate.value * fabric.achieved.value;
}

// In a mixed cluster a NIC goes no faster than the port that it is plugged into.
BytesPerSecond nic_capacity(const Cluster& cluster, const Cluster& kind, std::size_t node,
                            std::size_t nic) {
  BytesPerSecond capacity = std::min(achieved_by(cluster.fabric), achieved_by(kind.fabric));
  for (const SlowPort& slow : cluster.slow_ports) {
    if (static_cast<std::size_t>(slow.node) == node &&
        (!slow.nic || static_cast<std::size_t>(*slow.nic) == nic)) {
      capacity = std::min(capacity, slow.rate.value * cluster.fabric.achieved.value);
    }
  }
  return capacity;
}

}  // namespace

Machine::Machine(Cluster cluster, std::size_t nodes)
    : cluster_(std::move(cluster)),
      kinds_(cluster_.kinds()),
      gpus_per_node_(static_cast<std::size_t>(cluster_.gpus_per_node)),
      num_devices_(nodes * gpus_per_node_) {
  FORETRAIN_ASSERT(nodes >= 1, "a machine has at least one node");
  const auto counts = cluster_.nodes_of_kinds(static_cast<std::int64_t>(nodes));
  std::vector<NicPort> ports;
  for (std::size_t kind = 0; kind < kinds_.size(); ++kind) {
    const Cluster& part = *kinds_[kind];
    for (std::int64_t i = 0; i < counts[kind]; ++i) {
      const std::size_t node = nodes_.size();
      kind_of_node_.push_back(kind);
      first_nic_.push_back(ports.size());
      const NodePlace place{node, size_of(part), part.node.rate.value, part.node.achieved.value};
      nodes_.push_back(part.node_wiring->build(place, network_));
      hosts_.push_back(
          part.host ? std::make_unique<HostLinks>(*part.host, place, *nodes_.back(), network_)
                    : nullptr);
      for (std::size_t nic = 0; nic < size_of(part).nics; ++nic) {
        ports.push_back({node, nic, nic_capacity(cluster_, part, node, nic)});
      }
    }
  }
  fabric_ = cluster_.fabric_wiring->build(ports, cluster_.fabric.achieved.value, network_);
}

const Gpu& Machine::gpu_of(DeviceId device) const { return kinds_[kind_of(node_of(device))]->gpu; }

const Interconnect& Machine::inside(std::size_t node) const { return kinds_[kind_of(node)]->node; }

std::size_t Machine::num_nics(std::size_t node) const {
  return size_of(*kinds_[kind_of(node)]).nics;
}

std::size_t Machine::nic_of(DeviceId device) const {
  const Cluster& kind = *kinds_[kind_of(node_of(device))];
  return kind.node_wiring->nic_of(local_index(device), size_of(kind));
}

// To a NIC of the device's node: with PXN over the neighbour that the NIC belongs to.
void Machine::append_way_out(DeviceId from, std::size_t nic, std::vector<LinkId>& links) const {
  const std::size_t node = node_of(from);
  std::size_t gpu = local_index(from);
  if (nic != nic_of(from)) {
    const DeviceId first(node * gpus_per_node_);
    std::size_t neighbour = 0;
    while (nic_of(DeviceId(first.index() + neighbour)) != nic) {
      ++neighbour;
    }
    nodes_[node]->append_route(gpu, neighbour, links);
    gpu = neighbour;
  }
  if (hosts_[node]) {
    hosts_[node]->append_port_out(gpu, links);
  }
  nodes_[node]->append_to_nic(gpu, nic, links);
}

bool Machine::has_hosts() const {
  return std::all_of(hosts_.begin(), hosts_.end(),
                     [](const auto& host) { return host != nullptr; });
}

void Machine::append_host_route(DeviceId device, CopyDirection direction,
                                std::vector<LinkId>& links) const {
  const HostLinks& host = *hosts_[node_of(device)];
  switch (direction) {
    case CopyDirection::to_host:
      host.append_to_host(local_index(device), links);
      return;
    case CopyDirection::to_device:
      host.append_from_host(local_index(device), links);
      return;
    case CopyDirection::inside_host:
      host.append_inside(local_index(device), links);
      return;
  }
}

void Machine::append_route(DeviceId from, DeviceId to, std::vector<LinkId>& links) const {
  FORETRAIN_ASSERT(from != to, "a device sends nothing to itself");
  FORETRAIN_ASSERT(from.index() < num_devices_ && to.index() < num_devices_, "device out of range");
  const std::size_t source = node_of(from);
  const std::size_t target = node_of(to);
  if (source == target) {
    nodes_[source]->append_route(local_index(from), local_index(to), links);
    return;
  }
  const std::size_t in = nic_of(to);
  const bool is_pxn = cluster_.fabric_wiring->is_pxn() && num_nics(source) == num_nics(target);
  const std::size_t out = is_pxn ? in : nic_of(from);
  append_way_out(from, out, links);
  fabric_->append_route(first_nic_[source] + out, first_nic_[target] + in, links);
  nodes_[target]->append_from_nic(in, local_index(to), links);
  if (hosts_[target]) {
    hosts_[target]->append_port_in(local_index(to), links);
  }
}

std::vector<RingOrder> Machine::rings(const std::vector<DeviceId>& members) const {
  FORETRAIN_ASSERT(!members.empty(), "rings over no devices");
  std::vector<std::size_t> gpus;
  gpus.reserve(members.size());
  for (const DeviceId member : members) {
    gpus.push_back(local_index(member));
  }
  return nodes_[node_of(members.front())]->rings(gpus);
}

std::unique_ptr<Machine> build_machine(const Cluster& cluster, std::size_t nodes) {
  return std::make_unique<Machine>(cluster, nodes);
}

}  // namespace foretrain
