// A tree of switches for tests of lumping: nodes below leaves below a spine. Nodes that share a
// leaf share its ways up and down; every collective and every message takes more than one phase.
// GPUs of a node share the memory of its host, and reach it through their ports.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "strategies/platform_costs.hpp"

namespace foretrain::testing {

struct TreeSizes {
  std::size_t gpus_per_node = 2;
  std::size_t nodes_per_leaf = 2;
  double oversubscription = 2;  ///< of a leaf: rate of its nodes over the rate of its way up
};

/// Kernels take what they take on the machine, on a device of kind k that many quarters longer.
class TreeCosts : public PlatformCosts {
 public:
  TreeCosts(const Machine& machine, const TreeSizes& sizes)
      : PlatformCosts(machine), sizes_(sizes), kinds_(machine.num_devices(), 0) {
    const std::size_t nodes = node_of(DeviceId(kinds_.size() - 1)) + 1;
    const std::size_t leaves = (nodes + sizes.nodes_per_leaf - 1) / sizes.nodes_per_leaf;
    const double per_leaf = static_cast<double>(sizes.nodes_per_leaf) / sizes.oversubscription;
    first_nic_ = add("gpu", kinds_.size(), BytesPerSecond(100e9));
    first_leaf_ = add("nic", nodes, kNicRate);
    first_memory_ = add("leaf", leaves, kNicRate * per_leaf);
    add("memory", nodes, BytesPerSecond(120e9));
  }

  [[nodiscard]] std::size_t num_devices() const { return kinds_.size(); }
  [[nodiscard]] std::size_t num_nodes() const { return (first_leaf_ - first_nic_) / 2; }
  void slow_nic(std::size_t node, double factor) {
    network_.links[first_nic_ + 2 * node].capacity *= factor;
  }
  void set_kind(DeviceId device, std::size_t kind) { kinds_[device.index()] = kind; }
  void set_kind_of_node(std::size_t node, std::size_t kind) {
    for (std::size_t device = 0; device < kinds_.size(); ++device) {
      if (node_of(DeviceId(device)) == node) {
        kinds_[device] = kind;
      }
    }
  }
  [[nodiscard]] std::size_t node_of(DeviceId device) const {
    return device.index() / sizes_.gpus_per_node;
  }

  [[nodiscard]] const Network& network() const override { return network_; }
  [[nodiscard]] std::size_t device_kind(DeviceId device) const override {
    return kinds_[device.index()];
  }
  [[nodiscard]] Seconds kernel_time(const Kernel& kernel, DeviceId device) const override {
    return PlatformCosts::kernel_time(kernel, device) *
           (1 + 0.25 * static_cast<double>(device_kind(device)));
  }

  /// Inside each node at once, then from node to node, one flow per edge of the ring, then inside
  /// again. Inside one node twice half.
  [[nodiscard]] FlowSchedule collective(CollectiveKind, Bytes payload,
                                        const std::vector<DeviceId>& devices) const override {
    std::map<std::size_t, std::vector<DeviceId>> nodes;
    for (const DeviceId device : devices) {
      nodes[node_of(device)].push_back(device);
    }
    FlowPhase inside{Seconds(5e-6), {}};
    FlowPhase between{Seconds(1e-5 * static_cast<double>(nodes.size())), {}};
    for (auto node = nodes.begin(); node != nodes.end(); ++node) {
      if (node->second.size() > 1) {
        inside.flows.push_back({payload * 0.5, ports(node->second), BytesPerSecond(60e9)});
      }
      const auto next = std::next(node) == nodes.end() ? nodes.begin() : std::next(node);
      if (next != node) {
        between.flows.push_back({payload, route(node->first, next->first), BytesPerSecond(0)});
      }
    }
    return nodes.size() == 1 ? FlowSchedule{{inside, inside}}
                             : FlowSchedule{{inside, std::move(between), inside}};
  }

  /// A request of 10 kB, then the payload.
  [[nodiscard]] FlowSchedule point_to_point(Bytes payload, DeviceId from,
                                            DeviceId to) const override {
    const std::vector<LinkId> links = node_of(from) == node_of(to)
                                          ? std::vector{up(from), down(to)}
                                          : route(node_of(from), node_of(to));
    return {{FlowPhase{Seconds(2e-6), {{Bytes(1e4), links, BytesPerSecond(0)}}},
             FlowPhase{Seconds(3e-6), {{payload, links, BytesPerSecond(0)}}}}};
  }

  /// The host takes a while to start; its own work crosses its memory twice.
  [[nodiscard]] FlowSchedule host_copy(DeviceId device, CopyDirection direction,
                                       Bytes bytes) const override {
    const LinkId memory(first_memory_ + 2 * node_of(device));
    std::vector<LinkId> links = {memory, memory};
    if (direction != CopyDirection::inside_host) {
      links[0] = direction == CopyDirection::to_host ? up(device) : down(device);
    }
    return {{FlowPhase{Seconds(4e-6), {{bytes, std::move(links), BytesPerSecond(0)}}}}};
  }

 private:
  static constexpr BytesPerSecond kNicRate{10e9};

  /// Ways out and in of `count` ports; where the next kind of port begins.
  std::size_t add(const std::string& kind, std::size_t count, BytesPerSecond rate) {
    for (std::size_t i = 0; i < count; ++i) {
      network_.links.push_back({kind + " " + std::to_string(i) + " out", rate});
      network_.links.push_back({kind + " " + std::to_string(i) + " in", rate});
    }
    return network_.links.size();
  }
  static LinkId up(DeviceId device) { return LinkId(2 * device.index()); }
  static LinkId down(DeviceId device) { return LinkId(2 * device.index() + 1); }

  static std::vector<LinkId> ports(const std::vector<DeviceId>& devices) {
    std::vector<LinkId> links;
    links.reserve(2 * devices.size());
    for (const DeviceId device : devices) {
      links.push_back(up(device));
      links.push_back(down(device));
    }
    return links;
  }
  [[nodiscard]] std::vector<LinkId> route(std::size_t from, std::size_t to) const {
    std::vector<LinkId> links = {LinkId(first_nic_ + 2 * from)};
    const std::size_t leaf = from / sizes_.nodes_per_leaf;
    const std::size_t other = to / sizes_.nodes_per_leaf;
    if (leaf != other) {
      links.emplace_back(first_leaf_ + 2 * leaf);
      links.emplace_back(first_leaf_ + 2 * other + 1);
    }
    links.emplace_back(first_nic_ + 2 * to + 1);
    return links;
  }

  TreeSizes sizes_;
  Network network_;
  std::size_t first_nic_ = 0;     // link
  std::size_t first_leaf_ = 0;    // link
  std::size_t first_memory_ = 0;  // link
  std::vector<std::size_t> kinds_;
};

}  // namespace foretrain::testing
